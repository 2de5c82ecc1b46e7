"""Which language a text is in: a question's is one of ours, a document's any of 55."""

import asyncio
import re
from copy import copy
from functools import cache, lru_cache

from py3langid.langid import MODEL_FILE, LanguageIdentifier  # type: ignore[import-untyped]

LANGUAGES = ("en", "id", "it")

# Of 84 real questions every one is told rightly at .97 and above; names that are no
# language ("PT PMA", "E33G", "NIB OSS") stay below .55, "modal minimum PT PMA" has .69.
_SURE = 0.65

# Among all languages this is enough: a sentence of five words has .4 and more.
_LIKELY = 0.5
_SURE_OF_OURS = 0.9
# Short Indonesian texts look Malay at .54; a sentence of Malay has .74 and more.
_SURE_OF_MALAY = 0.7
UNDETERMINED = "und"
"""The code of ISO 639-2 for a language that cannot be determined."""

# By code the names in English, in the language itself, and in Italian and Indonesian where people
# write them, and the three-letter codes.
_NAMES = {
    "af": "afrikaans afr",
    "ar": "arabic العربية arabo arab ara",
    "az": "azerbaijani azərbaycanca aze",
    "be": "belarusian беларуская bel",
    "bg": "bulgarian български bulgaro bul",
    "bn": "bengali বাংলা ben",
    "bs": "bosnian bosanski bos",
    "ca": "catalan català catalano cat",
    "cs": "czech čeština ceco ces cze",
    "da": "danish dansk danese dan",
    "de": "german deutsch tedesco jerman deu ger",
    "el": "greek ελληνικά greco ell gre",
    "en": "english inglese inggris eng",
    "es": "spanish español spagnolo spanyol castellano spa",
    "et": "estonian eesti est",
    "fa": "persian farsi فارسی persiano fas per",
    "fi": "finnish suomi finlandese fin",
    "fr": "french français francese prancis fra fre",
    "gl": "galician galego glg",
    "gu": "gujarati ગુજરાતી guj",
    "he": "hebrew עברית ebraico heb",
    "hi": "hindi हिन्दी hin",
    "hr": "croatian hrvatski croato hrv",
    "hu": "hungarian magyar ungherese hun",
    "hy": "armenian հայերեն hye arm",
    "id": "indonesian indonesia indonesiano ind",
    "is": "icelandic íslenska isl ice",
    "it": "italian italiano italia ita",
    "ja": "japanese 日本語 giapponese jepang jpn",
    "jv": "javanese jawa giavanese jav",
    "ka": "georgian ქართული kat geo",
    "kk": "kazakh қазақша kaz",
    "km": "khmer ខ្មែរ khm",
    "ko": "korean 한국어 coreano korea kor",
    "lo": "lao ລາວ",
    "lt": "lithuanian lietuvių lit",
    "lv": "latvian latviešu lav",
    "mk": "macedonian македонски mkd mac",
    "mr": "marathi मराठी mar",
    "ms": "malay melayu malese msa may",
    "my": "burmese မြန်မာ mya bur",
    "ne": "nepali नेपाली nep",
    "nl": "dutch nederlands olandese belanda nld dut",
    "no": "norwegian norsk norvegese nor",
    "pl": "polish polski polacco pol",
    "pt": "portuguese português portoghese portugis por",
    "ro": "romanian română romeno ron rum",
    "ru": "russian русский russo rusia rus",
    "sk": "slovak slovenčina slovacco slk slo",
    "sl": "slovenian slovenščina sloveno slv",
    "sq": "albanian shqip albanese sqi alb",
    "sr": "serbian српски serbo srp",
    "sv": "swedish svenska svedese swe",
    "sw": "swahili kiswahili swa",
    "ta": "tamil தமிழ் tam",
    "th": "thai ไทย tailandese thailand tha",
    "tl": "tagalog filipino tgl fil",
    "tr": "turkish türkçe turco turki tur",
    "uk": "ukrainian українська ucraino ukraina ukr",
    "ur": "urdu اردو urd",
    "uz": "uzbek oʻzbekcha uzb",
    "vi": "vietnamese tiếng-việt vietnamita vietnam vie",
    "zh": "chinese 中文 cinese mandarin china cina zho chi",
}
_CODES = {name: code for code, names in _NAMES.items() for name in names.split()}
_WORD = re.compile(r"[^\W\d_]+(?:['’-][^\W\d_]+)*")

# The identifier walks byte by byte in Python: this much takes some milliseconds.
_SAMPLE_CHARACTERS = 20_000


def document_language(text: str) -> str:
    """The ISO code of the text's language; `und` where it cannot be determined."""
    words = " ".join(_WORD.findall(text[:_SAMPLE_CHARACTERS]))
    if not words:
        return UNDETERMINED
    language, probability = _identifier(tuple(_NAMES)).classify(words)
    if language == "ms" and probability < _SURE_OF_MALAY:
        return "id"
    if probability >= _LIKELY:
        return str(language)
    # Few words: what is sure among ours is likelier than what is unsure among all.
    language, probability = _classify(words)
    return language if probability >= _SURE_OF_OURS else UNDETERMINED


def named_language(name: str) -> str | None:
    """The ISO code of a language that is given as a code or as a name; None for another word."""
    name = name.strip().casefold()
    code = re.split(r"[-_]", name)[0]
    if code in _NAMES:
        return code
    return _CODES.get(name.removeprefix("bahasa ").removeprefix("lingua ")) or (
        code if re.fullmatch(r"[a-z]{2}", code) else None
    )


@lru_cache(maxsize=1_024)
def question_language(question: str) -> str | None:
    """None when the question is too short to tell."""
    language, probability = _classify(question)
    return language if probability >= _SURE else None


async def soon_question_language(question: str) -> str | None:
    """As `question_language`, for the event loop: once it is loaded, 0.04 to 0.3 ms of it."""
    if _identifier.cache_info().currsize:
        return question_language(question)
    return await asyncio.to_thread(question_language, question)


def _classify(text: str) -> tuple[str, float]:
    language, probability = _identifier(LANGUAGES).classify(text)
    return str(language), float(probability)


def load_models() -> None:
    """Load what identifies languages, which takes 0.6 s and a file: the only one it opens."""
    for languages in (LANGUAGES, tuple(_NAMES)):
        _identifier(languages)


@cache
def _identifier(languages: tuple[str, ...]) -> LanguageIdentifier:
    identifier = copy(_model())
    identifier.set_languages(languages)
    return identifier


@cache
def _model() -> LanguageIdentifier:
    # Loading takes 0.6 s: not before there is something to tell.
    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
