"""Superscripts and subscripts as text that never joins the number before them."""

import re

_SUPERSCRIPT = str.maketrans("0123456789+-=()n", "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁼⁽⁾ⁿ")
_SUBSCRIPT = str.maketrans("0123456789+-=()", "₀₁₂₃₄₅₆₇₈₉₊₋₌₍₎")
_EXPONENT = re.compile(r"[0-9+\-=()]+|n")
_NOTE_MARK = re.compile(r"[\[(]?(?:\d{1,3}|[*†‡§]+|[a-z])[\])]?")
# Before an exponent is a unit or a number of one or two digits, before a note's mark another.
_BASE = re.compile(r"(?:(?<![\w.,])\d{1,2}|(?<![^\W\d_])(?:[kcmd]?m|[a-zA-Z]|ft|ha))$")


def superscript(before: str, mark: str) -> str:
    """The mark as an exponent, as a note's mark `[^1]`, or as it is: `2o`."""
    note = f"[^{mark.strip('[]()')}]"
    if not before.strip():
        return note if _NOTE_MARK.fullmatch(mark) else mark
    if _BASE.search(before) and _EXPONENT.fullmatch(mark):
        return mark.translate(_SUPERSCRIPT)
    if _NOTE_MARK.fullmatch(mark) and not (mark.isalpha() and before[-1:].isdigit()):
        return note
    return mark


def subscript(mark: str) -> str:
    """The mark in small figures, where there are some for it."""
    return mark.translate(_SUBSCRIPT)
