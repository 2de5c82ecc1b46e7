"""Over a thousand made-up requests of every operation in the service's own description, by
schemathesis: nothing above 4xx, and nothing that the description does not tell.
"""

import asyncio
import re
import sys
from pathlib import Path

import pytest

from tests.test_cli import ZANTARA, environment, free_port, served
from tests.upstream import Upstream, haiku_says, llama_says

pytestmark = pytest.mark.slow

KEY = "zantara-key-for-the-test"
WITHOUT_LIMITS = {
    f"{what}_PER_MINUTE_PER_{whose}": str(10**9)
    for what in ("REQUESTS", "TOKENS")
    for whose in ("KEY", "ADDRESS")
}
# A description cannot say that a text must not be blank, nor what makes a file readable; and 0 is
# taken for false, as Pydantic does it.
NOT_TO_BE_HELD = "positive_data_acceptance,negative_data_rejection"


async def test_no_request_breaks_the_service_or_gets_an_answer_that_is_not_described(
    tmp_path: Path, data_dir: Path, upstream: Upstream
) -> None:
    upstream.llama(*[llama_says("Dieci miliardi [1].")] * 10_000)
    upstream.haiku(*[haiku_says("Dieci miliardi [1].")] * 10_000)
    port, log = free_port(), tmp_path / "log"
    env = environment(data_dir, upstream, PORT=str(port), API_KEYS=KEY, **WITHOUT_LIMITS)
    async with served(ZANTARA, "serve", port=port, env=env, cwd=tmp_path, log=log):
        process = await asyncio.create_subprocess_exec(
            *(str(Path(sys.executable).with_name("schemathesis")), "run"),
            *(f"http://127.0.0.1:{port}/openapi.json", "-H", f"Authorization: Bearer {KEY}"),
            *("--phases", "examples,coverage,fuzzing", "--max-examples", "15", "--seed", "1"),
            *("--exclude-checks", NOT_TO_BE_HELD, "--request-timeout", "60", "--no-shrink"),
            *("--continue-on-failure", "--no-color"),
            cwd=tmp_path,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        out, _ = await process.communicate()
    upstream.clear()

    said = out.decode()
    assert process.returncode == 0, said[-10_000:]
    selected = re.search(r"Selected: (\d+)/(\d+)\n  Tested: (\d+)", said)
    assert selected, said[-10_000:]
    assert len(set(selected.groups())) == 1
    generated = re.search(r"(\d+) generated", said)
    assert generated, said[-10_000:]
    assert int(generated[1]) > 1000
    assert '"unhandled error"' not in log.read_text()
