"""Pages that say nothing: errors, log-ins, maintenance, challenges; in three languages.

A page is one of these where hardly anything else stands in it: a page on visas that
mentions a form which was "not found" is none.
"""

import re

MAX_WORDS = 200
"""Longer pages have something to say."""
_MAX_SENTENCE_WORDS = 14
# What is so under a condition is an explanation: "if the file is not found, ask the office".
_CONDITION = re.compile(
    r"\b(?:if|when|se|quando|qualora|in case of|in caso di|dalam hal|jika|bila|apabila|kalau)\b",
    re.I,
)
_MAX_CONDITIONAL_WORDS = 6
# Of programs a sentence may be longer.
_MAX_TECHNICAL_WORDS = 30
_TECHNICAL = re.compile(r"\b(?:server|request|javascript|browser|richiesta al|permintaan)\b", re.I)
_MAX_OTHER_WORDS = 8
_MAX_OTHER_SHARE = 0.4

# What a title, a heading or a line of such a page is, to the word.
_NAMES = re.compile(
    r"(?:(?:error|errore|kesalahan|galat|http|status|code|kode|codice)\W*)*(?:[45]\d\d)"
    r"|(?:[45]\d\d\W+)?(?:error|errore|kesalahan|galat|not found|non trovat[ao]|tidak ditemukan"
    r"|forbidden|access denied|accesso negato|akses ditolak|unauthorized|bad gateway|bad request"
    r"|gateway time-?out|service unavailable|internal server error|too many requests"
    r"|page not found|pagina non trovata|halaman tidak ditemukan|maintenance|manutenzione"
    r"|pemeliharaan|login|log in|sign in|masuk|accedi|accesso|just a moment|un attimo"
    r"|attention required|security check|captcha|oops|ops|ups)",
    re.I,
)
_PHRASES = re.compile(
    "|".join(
        (
            # not found
            (
                r"(?:page|file|url|resource|link|site|document)\b.{0,60}\b(?:not (?:be"
                r" )?found|does(?:n.t| not) exist|(?:has|have) been (?:re)?moved|no longer"
                r" (?:exists|available)|can.?t be found|is not available)"
            ),
            r"nothing was found",
            r"not found on this server",
            r"requested url",
            r"looking for (?:might|may|could|does|has|is)",
            (
                r"(?:pagina|risorsa|sito|indirizzo|documento)\b.{0,60}\b(?:non (?:è"
                r" stat[oa] )?trovat[oa]|non esiste|non disponibil[ei]|non è (?:più"
                r" )?(?:disponibile|raggiungibile)|rimoss[ao])"
            ),
            (
                r"(?:halaman|berkas|laman|tautan|dokumen|situs)\b.{0,60}\b(?:tidak (?:dapat"
                r" )?ditemukan|tidak tersedia|tidak ada|telah (?:dihapus|dipindahkan))"
            ),
            # refused
            r"(?:access|permission) (?:is |to this \w+ is |has been )?denied",
            r"don.t have permission",
            r"not authori[sz]ed",
            r"accesso (?:non consentito|negato|non autorizzato)",
            r"non (?:hai|si dispone dell?e?) .{0,20}(?:permess|autorizzazion)",
            (
                r"(?:akses (?:anda )?(?:ditolak|dilarang|diblokir)|tidak (?:memiliki|punya"
                r"|mempunyai) (?:izin|akses|hak))"
            ),
            r"you have been blocked",
            r"too many requests",
            r"error (?:code )?\d{3,4}\b",
            r"ray id",
            # failed
            r"(?:internal server|server) error",
            r"bad gateway",
            r"gateway time-?out",
            r"something went wrong",
            r"an error (?:has )?occurred",
            r"si è verificato un errore",
            r"errore (?:interno )?del server",
            r"qualcosa è andato storto",
            r"terjadi (?:kesalahan|gangguan)",
            (
                r"(?:service|site|server|page|system) is (?:temporarily |currently"
                r" )?(?:unavailable|down|offline)"
            ),
            r"temporarily unavailable",
            r"service unavailable",
            r"temporarily unable|unable to complete your request|server encountered",
            r"process is automatic|redirect(?:ed)? to your requested|requested content shortly",
            r"servizio (?:temporaneamente |momentaneamente )?non disponibile",
            r"temporaneamente non",
            r"layanan (?:sedang |sementara )?tidak tersedia",
            r"sementara tidak",
            # maintenance
            r"(?:under|down for|scheduled|in) (?:\w+ )?maintenance",
            r"be (?:right )?back (?:soon|shortly)",
            r"in manutenzione",
            r"manutenzione (?:programmata|straordinaria|in corso)",
            r"torn(?:a|eremo|iamo|are) (?:\w+ )?(?:più tardi|presto|online|tra poco)",
            r"(?:dalam|sedang) (?:\w+ )?(?:pemeliharaan|perbaikan|maintenance)",
            r"kembali (?:lagi )?(?:nanti|beberapa)",
            r"(?:try|come back|check back) (?:again )?(?:later|soon|in a)",
            r"riprova(?:re)? (?:più tardi|tra)",
            r"coba (?:lagi|kembali)",
            # log-in
            r"(?:log ?in|sign ?in|log on) (?:to|with|here|using|or)\b",
            r"please (?:log ?in|sign ?in)",
            r"forgot(?:ten)? (?:your )?password",
            r"remember me",
            r"keep me (?:logged|signed) in",
            r"don.t have an account",
            r"create an account",
            r"session (?:has )?(?:expired|timed out)",
            r"(?:effettua|esegui|fai) (?:il login|l.accesso)",
            r"accedi (?:con|al|alla|all|per|a)\b",
            r"password dimenticata",
            r"(?:hai )?dimenticato la password",
            r"ricordami",
            r"non hai un account",
            r"sessione (?:è )?scaduta",
            r"area riservata",
            r"silakan (?:masuk|login|log in)",
            r"masuk (?:dengan|ke) (?:akun|email)",
            r"lupa (?:kata sandi|password|sandi)",
            r"ingat saya",
            r"belum (?:punya|memiliki) akun",
            r"sesi (?:anda )?(?:telah )?(?:berakhir|habis)",
            r"kata sandi",
            r"daftar (?:akun|sekarang)",
            # challenge
            r"checking (?:your browser|if the site)",
            r"verify(?:ing)? (?:that )?you are (?:a )?human",
            r"(?:review|check) the security of",
            r"enable (?:javascript|cookies)",
            r"javascript (?:is )?(?:disabled|required)",
            r"not a robot",
            r"ddos protection",
            r"security service",
            r"(?:complete|pass) the security check|completing the action below",
            # of a browser, and of a seller of domains
            r"err_[a-z]+_[a-z_]+",
            r"can.?t be reached|took too long to respond|refused to connect",
            r"connection (?:is|was) (?:not private|not secure|reset|interrupted)",
            r"(?:domain|dominio|domain ini) (?:\w+ ){0,3}(?:for sale|in vendita|dijual)",
            r"buy this domain|domain (?:is )?parked",
            r"verific(?:a|hiamo|ando) (?:che|di|se) (?:tu |lei )?(?:sei|essere|sia|non)",
            r"non sono un robot",
            r"abilita(?:re)? javascript",
            r"(?:memeriksa|memverifikasi) (?:browser|bahwa|keamanan)",
            r"bukan robot",
            r"aktifkan javascript",
            r"mengaktifkan javascript",
        )
    ),
    re.I,
)
# Of the frame that such pages have: links, addresses, names of servers.
_FRAME = re.compile(
    r"(?:apache|nginx|iis|cloudflare|powered by|copyright|©|https?://|home|beranda|torna|kembali"
    r"|back to|go to|vai|registrati|registrasi|register|sign up|daftar|contact|hubungi|contatta"
    r"|benvenut|selamat datang|welcome|username|user|email|e-mail|nama pengguna|password|nik"
    r"|captcha|menu|cari|cerca|search|silakan|mohon|maaf|sorry|spiacenti|ci scusiamo)\b.*",
    re.I,
)
_SENTENCE = re.compile(r"[^\n.!?…]+(?:[.!?…](?!\s|$)[^\n.!?…]*)*")


def _most_words(sentence: str) -> int:
    if _CONDITION.search(sentence):
        return _MAX_CONDITIONAL_WORDS
    return _MAX_TECHNICAL_WORDS if _TECHNICAL.search(sentence) else _MAX_SENTENCE_WORDS


def error_page(title: str, text: str) -> str | None:
    """The words that make a text an error page; None where it says anything else."""
    sentences = [
        part for part in (s.strip(" \t#*|>-–—:·_") for s in _SENTENCE.findall(text)) if part
    ]
    if sum(len(sentence.split()) for sentence in sentences) > MAX_WORDS:
        return None
    titles = [part.strip() for part in re.split(r"\s[-–—|:·»]\s|[|!.…]", title)]
    found = [part for part in titles if _NAMES.fullmatch(part)]
    other = 0
    for sentence in sentences:
        words = len(sentence.split())
        if _NAMES.fullmatch(sentence) or (
            words <= _most_words(sentence) and _PHRASES.search(sentence)
        ):
            found.append(sentence)
        elif sentence.casefold() not in title.casefold() and not _FRAME.fullmatch(sentence):
            other += words
    all_words = other + sum(len(part.split()) for part in found)
    if not found or other > max(_MAX_OTHER_WORDS, _MAX_OTHER_SHARE * all_words):
        return None
    return f"{found[0]:.80}"
