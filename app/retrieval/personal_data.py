"""Numbers that belong to persons: what a knowledge base should not hold by accident.

Only what its own checksum, or its label, makes certain: the guides are full of
other numbers.
"""

import re
from collections.abc import Callable

from stdnum import luhn, numdb
from stdnum.iban import is_valid as is_iban
from stdnum.id.nik import is_valid as is_nik
from stdnum.id.npwp import is_valid as is_npwp
from stdnum.it.codicefiscale import is_valid as is_codice_fiscale

_SIXTEEN_DIGITS = re.compile(r"(?<![\d.,-])\d{4}(?:[ -]?\d{4}){3}(?![\d.,-]*\d)")
_NPWP = re.compile(r"(?<![\d.])\d{2}\.\d{3}\.\d{3}\.\d-\d{3}\.\d{3}(?!\d)")
_IBAN = re.compile(r"\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){3,7}(?: ?[A-Z0-9]{1,3})?\b")
_CODICE_FISCALE = re.compile(r"\b[A-Z]{6}\d{2}[A-EHLMPRST]\d{2}[A-Z]\d{3}[A-Z]\b")
# The line of a passport that a machine reads.
_MACHINE_READABLE = re.compile(r"^P[A-Z<][A-Z]{3}[A-Z]+<<[A-Z<]{10,}", re.M)
_PASSPORT = re.compile(
    r"\b(?:passport|paspor|passaporto)\s*(?:number|no\.?|nomor|numero|n\.?|:)[\s:.]*"
    r"[A-Z]{1,2}\d{6,7}\b",
    re.I,
)
_CARD_NUMBER = re.compile(r"4|5[1-5]|2[2-7]")
# One number in ten passes a card's checksum: the word before it tells what it is.
_CARD_WORD = re.compile(
    r"\b(?:cards?|kartu|carta|carte|visa|mastercard|amex|pan|kredit|debit[o]?|credito|cvv|cvc)\b",
    re.I,
)
_LABEL_CHARACTERS = 60


def load_tables() -> None:
    """Read the tables that numbers are looked up in, which is otherwise done at the first one."""
    numdb.get("id/loc")


def identity_numbers(text: str) -> list[str]:
    """What kinds of number a text holds by which one person is known or charged."""
    kinds = {
        "a passport's number": _any(_PASSPORT, text) or _any(_MACHINE_READABLE, text),
        "an Indonesian identity number (NIK)": _any(_SIXTEEN_DIGITS, text, is_nik),
        "an Italian codice fiscale": _any(_CODICE_FISCALE, text, is_codice_fiscale),
        "a payment card's number": _holds_card(text),
    }
    return [kind for kind, found in kinds.items() if found]


def account_numbers(text: str) -> list[str]:
    """What kinds of number a text holds that persons and companies have alike."""
    kinds = {
        "an Indonesian tax number (NPWP)": _any(_NPWP, text, is_npwp),
        "a bank account (IBAN)": _any(_IBAN, text, is_iban),
    }
    return [kind for kind, found in kinds.items() if found]


def _any(
    pattern: re.Pattern[str], text: str, is_valid: Callable[[str], bool] = lambda _: True
) -> bool:
    return any(is_valid(match[0]) for match in pattern.finditer(text))


def _holds_card(text: str) -> bool:
    return any(
        _is_card(match[0])
        and _CARD_WORD.search(text[max(0, match.start() - _LABEL_CHARACTERS) : match.end() + 20])
        for match in _SIXTEEN_DIGITS.finditer(text)
    )


def _is_card(number: str) -> bool:
    digits = "".join(filter(str.isdigit, number))
    return bool(_CARD_NUMBER.match(digits)) and luhn.is_valid(digits)
