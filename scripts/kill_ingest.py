"""Kill an ingest (-9) again and again, and see whether what it reported as indexed is found.

`python -m scripts.kill_ingest [KILLS]`; each kill takes some seconds.
"""

import asyncio
import random
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

from app.retrieval.ingest_report import Progress
from app.retrieval.knowledge_base import KnowledgeBase
from app.retrieval.records import PUBLIC
from app.settings import Settings

DOCUMENTS_A_ROUND = 12
EVERYONE = frozenset({PUBLIC})
_LONGEST_S = 3.0
"""From the first document reported to the kill: an ingest of a round takes about as long."""


@dataclass
class Report:
    """What came of the kills. `lost` should be empty."""

    kills: int = 0
    reported: set[str] = field(default_factory=set)
    lost: list[str] = field(default_factory=list)
    starts_s: list[float] = field(default_factory=list)


def run(kills: int, folder: Path, seed: int = 57) -> Report:
    """Kill so many ingests at random moments, and look everything up after each restart."""
    draw = random.Random(seed)  # noqa: S311  # moments, not secrets
    report = Report()
    documents = folder / "documents"
    documents.mkdir(parents=True)
    (folder / "knowledge").mkdir()
    while report.kills <= kills:
        for i in range(DOCUMENTS_A_ROUND):
            name = f"doc-{report.kills}-{i}"
            (documents / f"{name}.md").write_text(f"# Office {name}\nThe office {name} is open.")
        _round(folder, report, draw.uniform(0, _LONGEST_S))
        report.kills += 1
    report.kills -= 1  # the last round found everything, or not, and its own kill is not looked at
    return report


def _round(folder: Path, report: Report, kill_after_s: float) -> None:
    """Start, look up what was reported before, go on with the ingest, and be killed."""
    started = time.monotonic()
    process = subprocess.Popen(  # noqa: S603  # our own module
        [sys.executable, "-m", "scripts.kill_ingest", "--ingest", str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdin
    assert process.stdout
    try:
        process.stdin.write("\n".join(sorted(report.reported)))
        process.stdin.close()
        for line in process.stdout:
            kind, _, name = line.strip().partition(" ")
            if kind == "lost":
                report.lost.append(f"{name} after kill {report.kills}")
            elif kind == "ready":
                report.starts_s.append(time.monotonic() - started)
            elif kind == "indexed":
                report.reported.add(name)
                break
        time.sleep(kill_after_s)
        process.kill()
        for line in process.stdout:  # what it said before it died
            kind, _, name = line.strip().partition(" ")
            if kind == "indexed" and line.endswith("\n"):
                report.reported.add(name)
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
    if len(report.starts_s) != report.kills + 1:
        raise RuntimeError(f"no start after kill {report.kills}: its output is above")


async def _ingest(folder: Path, reported: list[str]) -> None:
    settings = Settings(data_dir=folder / "data", knowledge_dir=folder / "knowledge")
    async with KnowledgeBase.open(settings) as knowledge_base:
        await knowledge_base.wait_ready(300)
        # Words answer while the index is examined; here both halves are to be looked at.
        async with asyncio.timeout(300):
            while (await knowledge_base.search("office", groups=EVERYONE)).degraded:  # noqa: ASYNC110
                await asyncio.sleep(0.1)  # only a search shows it
        for name in reported:
            found = await knowledge_base.search(f"Is office {name} open?", groups=EVERYONE)
            if found.degraded or name not in {p.document_id for p in found.passages}:
                print("lost", name, flush=True)
        print("ready", flush=True)

        def tell(progress: Progress) -> None:
            if progress.path:
                print("indexed", Path(progress.path).stem, flush=True)

        await knowledge_base.add([folder / "documents"], progress=tell)
        print("ended", flush=True)
        await asyncio.Event().wait()


def main() -> None:
    """Run the kills and print what came of them."""
    if sys.argv[1:2] == ["--ingest"]:
        asyncio.run(_ingest(Path(sys.argv[2]), sys.stdin.read().split()))
        return
    kills = int(sys.argv[1]) if len(sys.argv) > 1 else 50
    with tempfile.TemporaryDirectory() as folder:
        report = run(kills, Path(folder))
    slowest = max(report.starts_s)
    print(
        f"{report.kills} kills, {len(report.reported)} documents reported as indexed, "
        f"{len(report.lost)} lost; slowest start {slowest:.1f} s"
    )
    for line in report.lost:
        print(f"  {line}")
    sys.exit(1 if report.lost else 0)


if __name__ == "__main__":
    main()
