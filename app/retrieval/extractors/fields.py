"""Records into text: a line a field, and the key of the record in each part of a long one."""

from collections.abc import Iterator, Sequence

MAX_BLOCK_CHARACTERS = 900
"""What makes one passage: a record is not cut by the chunking."""
_MAX_KEY_CHARACTERS = 160

Field = tuple[str, str]


def blocks(fields: Sequence[Field]) -> list[str]:
    """The lines of a record; of one that is too long for a passage in parts, each with its key.

    The key is the first field. Values are one line each.
    """
    lines = [line(name, value) for name, value in fields]
    if sum(map(len, lines)) + len(lines) <= MAX_BLOCK_CHARACTERS:
        return ["\n".join(lines)] if lines else []
    key = lines[0] if len(lines[0]) <= _MAX_KEY_CHARACTERS else ""
    room = MAX_BLOCK_CHARACTERS - len(key) - 1
    parts: list[list[str]] = [[]]
    length = 0
    for name, value in fields[1 if key else 0 :]:
        for piece in _pieces(name, value, room):
            if parts[-1] and length + len(piece) + 1 > room:
                parts.append([])
                length = 0
            parts[-1].append(piece)
            length += len(piece) + 1
    return ["\n".join(filter(None, (key, *part))) for part in parts]


def line(name: str, value: str) -> str:
    """One field."""
    return f"{name}: {value}" if name else value


def _pieces(name: str, value: str, room: int) -> Iterator[str]:
    """The value in lines of at most `room` characters, cut after a sentence or between words."""
    room = max(room - len(name) - 2, 100)
    while len(value) > room:
        cut = max(value.rfind(end, room // 2, room) + 1 for end in (". ", "; ", "? ", "! "))
        cut = cut or value.rfind(" ", 1, room) + 1 or room
        yield line(name, value[:cut].rstrip())
        value = value[cut:].lstrip()
    if value:
        yield line(name, value)
