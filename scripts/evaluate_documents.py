"""How well files are read: `make eval-documents`.

Reads each file of a folder as the service does, in the reader's process, and compares what it
finds with the folder's `facts.py`. Prints the share of files that are right by kind of fact, what
is wrong with each of the others, and the processor time for a page.
"""

import argparse
import importlib
import resource
import sys
from collections import defaultdict
from collections.abc import Callable
from itertools import chain
from pathlib import Path
from typing import Any

from app.errors import DocumentRejected
from app.retrieval.preparation import Prepared
from app.retrieval.reader import Reader
from app.settings import ROOT

DOCUMENTS = ROOT.parent / "shared/documents"
PAGES = ROOT.parent / "shared/corpus/pdf"

Judge = Callable[..., list[str]]


def wrong(name: str, content: bytes, reader: Reader, judge: Judge) -> list[str]:
    """What does not hold of a file; empty where all of it does."""
    try:
        prepared = reader.prepare(content, name)
    except DocumentRejected as error:
        return [f"{fault}: {error}" for fault in judge(name, "", False, [str(error)])]
    loaded, findings = prepared.loaded, prepared.findings
    text = loaded.text[loaded.body_start :]
    if findings.faults:
        return [f"{fault}: {findings.faults}" for fault in judge(name, text, False, [])]
    remarks = prepared.warnings
    told = (loaded.title, loaded.language, loaded.effective_date)
    return judge(name, text, True, remarks, *told) + _bare_passages(prepared)


def _bare_passages(prepared: Prepared) -> list[str]:
    """Passages of a heading alone, which answer nothing and take an answer's place."""
    return [
        f"passage of a heading alone: {chunk.text!r}"
        for chunk in prepared.chunks
        if all(line.startswith("#") for line in chunk.text.split("\n") if line.strip())
    ]


def print_facts(documents: Path) -> None:
    """A line for each file that is not read right, then the shares by kind."""
    sys.path.insert(0, str(documents))
    facts: dict[str, dict[str, Any]] = importlib.import_module("facts").FACTS
    judge: Judge = importlib.import_module("check").judge
    right: dict[str, list[bool]] = defaultdict(list)
    with Reader() as reader:
        for name, expected in facts.items():
            faults = wrong(name, (documents / name).read_bytes(), reader, judge)
            right[expected["kind"]].append(not faults)
            for fault in faults:
                print(f"{name}: {fault}")
    print(f"\n{'kind':<14}{'right':>7}{'files':>7}")
    for kind, results in (*sorted(right.items()), ("all", [*chain(*right.values())])):
        print(f"{kind:<14}{sum(results):>7}{len(results):>7}")


def print_time(pages: Path) -> None:
    """The processor time that the reader's process takes for a page of real PDFs."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    count = 0
    with Reader() as reader:
        for path in sorted(pages.glob("*.pdf")):
            count += len(reader.prepare(path.read_bytes(), path.name, force=True).loaded.pages)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    each = used / count * 1e3
    print(f"\n{count} pages of PDF in {used:.1f} s of processor time, {each:.1f} ms each")


def main() -> None:
    """Read, compare, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--documents", type=Path, default=DOCUMENTS)
    parser.add_argument("--pages", type=Path, default=PAGES)
    options = parser.parse_args()
    print_facts(options.documents)
    print_time(options.pages)


if __name__ == "__main__":
    main()
