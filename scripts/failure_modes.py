"""Write `docs/failure-modes.md` from the fault matrix: `python -m scripts.failure_modes`."""

from app.settings import ROOT
from tests.faults.matrix import MATRIX, Fault, Models

DOCUMENT = ROOT / "docs" / "failure-modes.md"

HEAD = """\
# Failure modes

What can go wrong at a model's API, and what the caller gets then. Written from
`tests/faults/matrix.py` by `python -m scripts.failure_modes`; every line is played over real
sockets against the running service, streamed and not (`tests/faults`).

- **Haiku**: the answer comes from Haiku, whole; `fallback_reason` names the kind.
- **Haiku goes on**: the words already sent are continued by Haiku from the last one, after a second
  `route` event (`continued`). An answer that is not streamed starts over on Haiku.
- **passages**: no model is left, so the best passages are quoted, with `degraded: true`; a 503 with
  `Retry-After` where nothing was found or `EXTRACTIVE_FALLBACK=false`.
- **asked twice**: Haiku is asked once more first, after a short random wait, where that is still
  within the first-content limit.
- **`error`**: the stream ends in one `error` event with what was said; an answer that is not
  streamed ends as the same fault before content does.
- **422**: the caller is told, as a problem of kind `content_filter`; no other model is asked.

| row | what goes wrong | kind | limit | Llama fails so | Haiku fails so, Llama being down |
|---|---|---|---|---|---|
"""

TAIL = """
Beyond single calls:

| row | what goes wrong | what happens | test |
|---|---|---|---|
| 7 | too long for both windows | 413 that says by how much; what is too long at sight is not sent | `test_both_down.py` |
| 8 | key rejected | circuit open until the free key endpoint says that the key works; `/health` names the key | `test_circuits.py` |
| 9, 12, 15, 17, 18 | a wait is asked for (`Retry-After`, `X-RateLimit-Reset`) | the circuit is open that long, an hour at the most | `test_circuits.py` |
| 10 | credit spent | circuit open for five minutes, then one probe | `test_circuits.py` |
| 16 | rate limit without a date | a random cool-down of 2 to 4 s | `test_circuits.py` |
| 19 | Haiku overloaded once | asked once more within the limit | `test_both_down.py` |
| 23 | a server speaks unasked on a kept connection (a 408 before it hangs up, an answer sent twice) | that connection is closed, and the next question has another; a cookie is not kept | `tests/llm/test_connections.py` |
| 25, 36 | gzip bomb, a line of 50 MB, a body without end | memory up by less than 20 MB | `test_memory.py` |
| 47 | both models down, or hanging | passages within the total limit; 503 with `Retry-After` where nothing was found | `test_both_down.py` |
| 35 of `SECURITY.md` | one caller's calls fail or are slow | the circuit opens for that caller alone, for all once two callers' calls do | `test_fair_circuit.py` |
| 48 | every second call fails | one change of state a cool-down | `test_circuits.py` |
| 49 | a provider recovers | one probe; the others go to Haiku until it has answered | `test_circuits.py` |
| 50 | answers have become slow for the length of their prompts | the circuit opens | `test_circuits.py` |
| 51 | the caller leaves | the call upstream is closed; counted as `cancelled`, which is no failure | `test_leaving.py` |
| 52 | a thousand callers leave | the connections still serve; none is left behind | `test_leaving.py` |
| 62 | the wall clock jumps an hour | no answer ends and no wait is shortened: all timers are monotonic | `test_circuits.py` |
| 63 | file descriptors used up | no more requests are admitted than they allow; should they run out all the same, the passages answer (`no_descriptors`), no model is blamed, and once they are free all is as before | `test_descriptors.py` |
| 64 | twice the load | the half that is too much is refused at once with a 503, and the other served; `scripts/bench_load.py` prints the times | `test_load.py` |
| all | a thousand faults at random | no task, connection or descriptor left; ledger = what was served | `test_random.py` |
"""  # noqa: E501 - rows of a table


def main() -> None:
    """Write the document."""
    DOCUMENT.write_text(document(), encoding="utf-8")


def document() -> str:
    """The whole text."""
    return HEAD + "".join(map(_row, MATRIX)) + TAIL


def _row(fault: Fault) -> str:
    kind = f"`{fault.kind}`" if fault.kind else "–"
    cells = (str(fault.row), fault.title, kind, fault.limit, _of_llama(fault), _of_haiku(fault))
    return f"| {' | '.join(cells)} |\n"


def _of_llama(fault: Fault) -> str:
    if fault.of is Models.HAIKU:
        return ""
    if fault.kind is None:
        return "delivered"
    if fault.refused:
        return "`error`" if fault.after_content else "422"
    return "Haiku goes on" if fault.after_content else "Haiku"


def _of_haiku(fault: Fault) -> str:
    if fault.of is Models.LLAMA:
        return ""
    if fault.kind is None:
        return "delivered"
    if fault.after_content:
        return "`error`"
    if fault.refused:
        return "422"
    return "asked twice, then passages" if fault.asked_again else "passages"


if __name__ == "__main__":
    main()
