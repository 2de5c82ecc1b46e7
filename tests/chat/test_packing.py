from msgspec.structs import replace

from app.chat.packing import pack
from app.events import Passage, Section

TEXT = "".join(f"Sentence {n:02} of the document. " for n in range(100))


def passage(start: int, end: int, document_id: str = "law", section: str = "Pasal 1") -> Passage:
    return Passage(document_id, "Law", section, TEXT[start:end], 1.0, start, end, "en")


def section(start: int, end: int) -> Section:
    return Section(start, end, TEXT[start:end])


def test_what_does_not_fit_is_left_out_from_the_end_but_never_the_best() -> None:
    passages = [passage(n * 500, n * 500 + 400) for n in range(5)]

    assert [e.numbers for e in pack(passages, {}, 1_300)] == [(1,), (2,), (3,)]
    assert [e.numbers for e in pack(passages, {}, 10)] == [(1,)]
    assert pack([], {}, 1_000) == []


def test_the_best_passages_are_widened_to_their_sections_while_there_is_room() -> None:
    passages = [passage(0, 100), passage(1_000, 1_100, section="Pasal 2")]
    sections = {0: section(0, 500), 1: section(900, 1_500)}

    both = pack(passages, sections, 2_000)
    first_only = pack(passages, sections, 700)

    assert [e.text for e in both] == [TEXT[0:500], TEXT[900:1_500]]
    assert [e.text for e in first_only] == [TEXT[0:500], TEXT[1_000:1_100]]


def test_passages_of_one_section_are_one_extract_under_all_their_numbers() -> None:
    passages = [passage(400, 500), passage(0, 100, "other"), passage(0, 100)]

    extracts = pack(passages, {0: section(0, 500), 2: section(0, 500)}, 5_000)

    assert [e.numbers for e in extracts] == [(1, 3), (2,)]
    assert extracts[0].text == TEXT[0:500]


def test_neighbours_are_joined_in_the_order_of_the_document() -> None:
    passages = [passage(101, 200), passage(0, 100), passage(300, 400)]

    extracts = pack(passages, {}, 5_000)

    assert [e.numbers for e in extracts] == [(1, 2), (3,)]
    assert extracts[0].text == f"{TEXT[0:100]}\n{TEXT[101:200]}"


def test_neighbours_of_different_sections_stay_apart() -> None:
    first = passage(0, 100)
    second = replace(passage(100, 200), section="Pasal 2")

    assert [e.numbers for e in pack([first, second], {}, 5_000)] == [(1,), (2,)]


def test_the_text_never_exceeds_its_room_once_the_best_is_in() -> None:
    passages = [passage(n * 250, n * 250 + 100, section=f"S{n}") for n in range(10)]
    sections = {n: section(n * 250, n * 250 + 250) for n in range(10)}

    for room in range(100, 3_000, 50):
        extracts = pack(passages, sections, room)
        assert sum(len(e.text) for e in extracts) <= room
        assert [n for e in extracts for n in e.numbers] == list(range(1, len(extracts) + 1))
