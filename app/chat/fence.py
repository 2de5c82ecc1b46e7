"""The delimiter around untrusted text, and how a passage is written inside it."""

import re
import secrets
from collections.abc import Sequence
from typing import Literal

# The hyphen first: what begins with one character is found fast in a long text.
_IN_A_MARKER = re.compile(
    "-(?:(?<=passages-)|(?<=tool-result-)|(?<=conversation-))(?=[0-9a-f]{8})", re.IGNORECASE
)
_BEGINS_WITH_A_NUMBER = re.compile(r"(\n[ \t]{0,8})\[(\d+)\]")


class Delimiter:
    """Two equal lines, random for each prompt, so that no document can contain them."""

    def __init__(self, kind: Literal["passages", "tool-result", "conversation"]) -> None:
        self.marker = f"{kind}-{secrets.token_hex(8)}"

    def around(self, text: str) -> str:
        """Return the text between the two lines; what looks like one of them in it is changed."""
        inside = _IN_A_MARKER.sub(" ", text)
        return f"{self.marker}\n{inside}\n{self.marker}"


def numbered(numbers: Sequence[int], heading: str, text: str) -> str:
    """Return a passage under its numbers: no line of it can pass for the head of another."""
    cited = "".join(f"[{n}]" for n in numbers)
    own = _BEGINS_WITH_A_NUMBER.sub(r"\1(\2)", f"\n{text}")
    return f"{cited} {' '.join(heading.split())}{own}"
