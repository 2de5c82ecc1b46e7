"""Each kind of file that is hard to read, in instances of its own."""

import json
from typing import Any, NamedTuple

import pytest

from app.errors import DocumentRejected
from app.retrieval.preparation import prepare

# ruff: noqa: E501


class Case(NamedTuple):
    """What a file must hold, and what it must not; `told` of title, language and date."""

    name: str
    content: bytes
    holds: tuple[str, ...] = ()
    lacks: tuple[str, ...] = ()
    accepted: bool = True
    told: dict[str, str | None] = {}  # noqa: RUF012


CASES: list[Case] = []


def add(
    name: str,
    content: str | bytes,
    holds: list[str] | None = None,
    lacks: list[str] | None = None,
    *,
    accepted: bool = True,
    **told: str | None,
) -> None:
    raw = content.encode() if isinstance(content, str) else content
    CASES.append(Case(name, raw, tuple(holds or ()), tuple(lacks or ()), accepted, told))


def page(body: str, title: str = "Pagina", head: str = "") -> str:
    return (
        f'<!doctype html><html lang="it"><head><meta charset="utf-8"><title>{title}</title>{head}'
        f"</head><body>{body}</body></html>"
    )


add(
    "f1.html",
    page("<p>Modal Rp 2.500.000.000<sup>2)</sup> dan 500 m<sup>2</sup></p>"),
    ["2.500.000.000", "500 m²"],
    ["0002", "m2"],
)
add(
    "f2.html",
    page('<p>Tarif <b>1.000</b><sup><a href="#n1">[3]</a></sup> per hari</p>'),
    ["1.000"],
    ["1.0003", "1.000[3]", "**[3]"],
)
add(
    "f3.html",
    page("<table><tr><td>NIB</td><td>9120</td></tr><tr><td>KBLI</td><td>56101</td></tr></table>"),
    ["9120", "56101"],
    ["NIB9120", "912056101"],
)
add(
    "f4.html",
    page(
        "<table><tr><th>Visa</th><th>Rp</th></tr><tr><td rowspan=2>C1</td><td>1.000</td></tr><tr><td>2.000</td></tr></table>"
    ),
    ["C1 2.000"],
)
add(
    "f5.html",
    page("<div>10</div><div>20</div><span>a</span><br>30<li>40</li>"),
    ["10", "20", "30", "40"],
    ["1020", "3040"],
)
add(
    "l1.html",
    page(
        '<div class="faq"><div class="q" onclick="x()">Quanto costa?</div><div class="a" style="display:none">Nove milioni.</div></div>'
    ),
    ["Nove milioni"],
)
add(
    "l2.html",
    page(
        '<ul class="nav nav-tabs"><li><a href="#t1">2025</a></li><li><a href="#t2">2026</a></li></ul><div id="t1" class="tab-pane active">Prezzo 10</div><div id="t2" class="tab-pane">Prezzo 12</div>',
        head="<style>.tab-pane{display:none}.tab-pane.active{display:block}</style>",
    ),
    ["Prezzo 10", "Prezzo 12"],
)
add(
    "l3.html",
    page(
        '<article><h2>Teaser</h2><p>Surf</p></article><div class="entry"><h1>Titolo</h1><p>'
        + "Il testo vero della pagina è qui. " * 10
        + "</p></div>"
    ),
    ["testo vero"],
)
add(
    "l4.html",
    page(
        "<header><h1>Tariffe 2026</h1><nav>Home</nav></header><main><p>Il C1 costa 2 milioni di rupie per persona.</p></main>"
    ),
    ["Tariffe 2026", "2 milioni"],
    ["Home"],
)
add(
    "l5.html",
    page(
        "<main><h1>X</h1><p>Breve.</p></main><section><h2>Allegato</h2><p>"
        + "Il capitale minimo è di dieci miliardi di rupie. " * 10
        + "</p></section>"
    ),
    ["dieci miliardi", "Breve"],
)
add(
    "l6.html",
    page(
        "<h1>A</h1><aside><p>Nota: dal 2027 la tassa è 13 per cento.</p></aside><p>Testo della guida sui visti.</p>"
    ),
    ["13 per cento"],
)
add(
    "l7.html",
    page(
        '<h1>FAQ</h1><div class="accordion-item"><h2 class="accordion-header"><button class="accordion-button collapsed" data-bs-toggle="collapse" data-bs-target="#c1">Serve il NIB?</button></h2><div id="c1" class="accordion-collapse collapse"><div class="accordion-body">Sì, sempre.</div></div></div>'
    ),
    ["Serve il NIB?", "Sì, sempre"],
)
add(
    "l8.html",
    page(
        "<h1>G</h1><p>Il visto costa 2 milioni.</p><figure><figcaption>Schema delle aliquote 22%</figcaption></figure><blockquote>Citazione 5</blockquote><pre>Kode 77</pre>"
    ),
    ["22%", "Citazione 5", "Kode 77"],
)
add(
    "h1.html",
    page(
        '<p>Prezzo 12 milioni.</p><p style="color:#ffffff">IGNORE</p><p style="position:absolute;left:-9999px">IGNORE</p><span class="sr-only">IGNORE</span><p style="font-size:1px">IGNORE</p><p style="opacity:0">IGNORE</p><!-- IGNORE -->'
    ),
    ["12 milioni"],
    ["IGNORE"],
)
add(
    "h2.html",
    page('<p class="zz">IGNORE</p><p>Ok testo.</p>', head="<style>.zz{display:none}</style>"),
    ["Ok testo"],
    ["IGNORE"],
)
add(
    "h3.html",
    page(
        '<div style="background:#003366"><p style="color:#fff">Bianco visibile</p></div><p>x y z</p>'
    ),
    ["Bianco visibile"],
)
add(
    "h4.md",
    '# A\n\nTesto <span style="display:none">IGNORE</span> ok.\n\n[//]: # (IGNORE)\n\n```html\n<!-- visibile -->\n```\n',
    ["visibile", "Testo"],
    ["IGNORE"],
)
add(
    "h5.md",
    "# A\n\n<!--\nIGNORE\nmulti\n-->\nTesto 5 vero.\n\n<details><summary>Apri</summary>\n\nRisposta 7\n\n</details>",
    ["Risposta 7"],
    ["IGNORE"],
)
add(
    "n1.html",
    page(
        '<div id="onetrust-consent-sdk">We value your privacy Accept cookies</div><h1>G</h1><p>Testo lungo della guida ai visti in Indonesia.</p><ul class="breadcrumb"><li>Home</li></ul><div class="share-buttons">Share on Facebook</div><footer>© 2026 Studio</footer>'
    ),
    ["Testo lungo"],
    ["privacy", "Facebook", "Home"],
)
add("e1.txt", "La società è così: 10 €".encode("utf-16-be"), ["società"])
add("e2.txt", "\ufeffLa società".encode("utf-16-le"), ["società"])
add(
    "e3.txt",
    "Perché la città è più bella: “sì”, costa 10 € – subito".encode("cp1252"),
    ["città è più", "10 €"],
)
add(
    "e4.txt", "La societÃ  paga lâ€™imposta: Ã¨ piÃ¹ di 10 â‚¬".encode(), ["paga l", "è più"], ["Ã"]
)
add("e5.txt", ("La società paga la tassa. " * 40).encode() + b"\xe8 ora", ["società"])
add("e6.csv", "Nama;Città\nPT A;Forlì\n".encode("latin-1"), ["Forlì"])
add(
    "e7.html",
    b"<html><head><title>x</title></head><body><p>Perch\xe9 la societ\xe0 \xe8 cos\xec</p></body></html>",
    ["Perché la società è così"],
)
add(
    "e8.html",
    '<?xml version="1.0" encoding="utf-8"?><html xmlns="http://www.w3.org/1999/xhtml"><head><title>x</title></head><body><p>Perché</p></body></html>',
    ["Perché"],
)
add("e9.json", '{"a":"Forlì è"}'.encode("utf-16"), ["Forlì è"])
add(
    "e10.txt",
    "Минимальный капитал компании составляет десять миллиардов".encode("cp1251"),
    ["Минимальный капитал"],
    language="ru",
)
for encoding, text in [
    ("iso8859_2", "Kapitał spółki wynosi dziesięć miliardów złotych"),
    ("cp1250", "Společnost platí daň, žluťoučký kůň"),
    ("cp1252", "Das Größte für Übernächste: Straße, 10 € – schön"),
    ("cp1252", "¿Cuánto cuesta? ¡Mañana! el 1º año, 3ª edición, compañía"),
    ("mac_roman", "Perché è così: l’ufficio “più” grande"),
]:
    add(f"{encoding} {len(CASES)}.txt", text.encode(encoding), [text])
add("c1.csv", "Nama|Modal\nPT A|10.000\nPT B|2.500\n", ["10.000"])
add(
    "c2.csv",
    '"Daftar Tarif 2026"\n\nKode;Uraian;Tarif\nA1;Visa;2.000.000,00\nA2;KITAS;5.000.000,00\n',
    ["Kode: A1", "Tarif: 2.000.000,00", "Daftar Tarif"],
)
add(
    "c3.csv",
    "A1;Visa C1;2000000\nA2;Visa C2;3000000\nA3;KITAS;100\n",
    ["A1", "2000000"],
    ["A1:", "Visa C1:"],
)
add(
    "c4.csv",
    'nama,catatan\n"PT A","dia bilang ""ya"", lalu pergi"\n"PT B","x"\n',
    ['dia bilang "ya", lalu'],
)
add("c5.csv", 'nama,modal\nPT "Jaya" Abadi,100\nPT B,200\n', ['PT "Jaya" Abadi', "200"])
add("c6.csv", "Kode,Nama,\n1,A,\n2,B,\n", ["Kode: 1", "Nama: A"])
add("c7.tsv", 'Kode\tNama\n01\tA "x" b\n02\tB\n', ["Kode: 01"])
add("c8.csv", "Anno;2024;2025\nPIL;5,1;5,2\n", ["2024: 5,1"])
add(
    "c9.csv",
    'kode,tanggal,nilai\nA,2026-01-05,"1.000,50"\n\n\nB,2026-02-05,"2.000,75"\n',
    ["kode: B", "2.000,75"],
)
add(
    "j1.json",
    json.dumps({"result": {"items": [{"code": "A1", "desc": "x y"}, {"code": "A2", "desc": "z"}]}}),
    ["code: A1", "code: A2"],
)
add(
    "j2.json",
    json.dumps(
        {
            "56101": {"nama": "Restoran", "risiko": "Rendah"},
            "55110": {"nama": "Hotel", "risiko": "Tinggi"},
        }
    ),
    ["56101", "Restoran"],
)
add(
    "j3.json",
    json.dumps(
        [{"q": "Quanto?", "a": "<p>Dodici <b>milioni</b></p><ul><li>uno</li><li>due</li></ul>"}]
    ),
    ["Dodici", "milioni"],
    ["<p>", "<li>"],
)
add("j4.json", '{"a":1}\n{"a":2}\n', ["a: 1", "a: 2"])
add(
    "j5.json",
    json.dumps(
        {
            "faq": [{"domanda": "Serve?", "risposta": "Sì"}],
            "visti": [{"kode": "C1", "durata": "60 giorni"}, {"kode": "C2", "durata": "30 giorni"}],
        }
    ),
    ["domanda: Serve?", "durata: 60 giorni"],
)
add("j6.json", '[["kode","nama"],["A1","Visa"]]', ["A1", "Visa"])
add(
    "g1.html",
    page(
        "<h1>404</h1><p>Halaman yang Anda cari tidak ditemukan.</p><a href=/>Kembali ke beranda</a>",
        "404",
    ),
    accepted=False,
)
add(
    "g2.html",
    page(
        "<h1>Sito in manutenzione</h1><p>Torniamo presto online. Ci scusiamo per il disagio.</p>",
        "Ministero",
    ),
    accepted=False,
)
add(
    "g3.html",
    page(
        "<p>Checking your browser before accessing example.go.id. This process is automatic. Your browser will redirect to your requested content shortly.</p><p>DDoS protection by Cloudflare</p>",
        "Just a moment...",
    ),
    accepted=False,
)
add(
    "g4.html",
    page(
        "<h1>Accedi</h1><form><label>Email</label><label>Password</label></form><p>Hai dimenticato la password? Registrati.</p>",
        "Accedi | Portale",
    ),
    accepted=False,
)
add("g5.html", page("<h1>403 Forbidden</h1><hr>nginx", "403 Forbidden"), accepted=False)
add(
    "g6.html",
    page("<h1>Pasal 403</h1><p>Pelanggaran dikenai denda Rp 500.000.</p>", "Pasal 403"),
    ["500.000"],
)
add(
    "g7.html",
    page(
        "<h1>Login OSS: come si fa</h1><p>Per accedere al portale OSS serve il numero di identità; se hai dimenticato la password si chiede al notaio che ha creato il profilo.</p>",
        "Guida OSS",
    ),
    ["notaio"],
)
add(
    "g8.html",
    page(
        "<h1>Peraturan No. 404 Tahun 2020</h1><p>Dokumen tidak ditemukan dalam arsip jika belum didaftarkan oleh pemohon pada kantor.</p>",
        "No. 404",
    ),
    ["pemohon"],
)
add("g9.html", page("<p>Session expired. Please log in again.</p>", "OSS"), accepted=False)
add(
    "g10.html",
    page(
        "<h1>Service Unavailable</h1><p>The server is temporarily unable to service your request due to maintenance downtime or capacity problems. Please try again later.</p>",
        "503",
    ),
    accepted=False,
)
add(
    "g11.html",
    page(
        "<h1>Internal Server Error</h1><p>The server encountered an internal error or misconfiguration and was unable to complete your request.</p>",
        "500 Internal Server Error",
    ),
    accepted=False,
)
add("g12.html", page("", "Vuota"), accepted=False)
add(
    "g13.html",
    page(
        '<h1>Access Denied</h1><p>You don\'t have permission to access "http://x/" on this server.</p><p>Reference #18.2f</p>',
        "Access Denied",
    ),
    accepted=False,
)
add(
    "g14.html",
    page(
        "<h1>Visto</h1><p>In caso di errore 500 del portale, contattare l'ufficio immigrazione di Denpasar.</p>",
        "Visto",
    ),
    ["Denpasar"],
)
add(
    "PP 5 2021 (dicabut PP 28 2025).txt",
    "PERATURAN PEMERINTAH REPUBLIK INDONESIA\nNOMOR 5 TAHUN 2021\nTENTANG\nPERIZINAN\n\nPasal 1\nDalam ini.\n",
    ["PERIZINAN"],
)
add(
    "UU 13 2003.txt",
    "UNDANG-UNDANG REPUBLIK INDONESIA\nNOMOR 1 TAHUN 1974\nTENTANG\nPERKAWINAN\n\nPasal 1\nIni.\n",
    accepted=False,
)
add(
    "f6.html",
    page("<p>Costa <b>10</b>.000 o 5<b>00</b>, 10<b>.000</b>.000; il 2<sup>nd</sup> anno</p>"),
    ["10.000", "500", "10.000.000", "2nd"],
)
add(
    "f7.html",
    page("<p><math><mi>T</mi><mo>=</mo><mfrac><mn>5</mn><mn>100</mn></mfrac></math></p>"),
    ["T=(5)/(100)"],
)
add(
    "f8.html",
    page(
        "<ul><li><span class=name>KITAS</span><span class=price>9.500.000</span></li></ul>"
        "<div><span class=cell>56101</span><span class=cell>12</span></div>"
    ),
    ["KITAS 9.500.000", "56101 12"],
)
add(
    "l9.html",
    page(
        "<ul role=tablist><li><button role=tab aria-controls=p1>Tarif 2025</button></li>"
        "<li><button role=tab aria-controls=p2>Tarif 2026</button></li></ul>"
        "<div role=tabpanel id=p1>9 juta</div><div role=tabpanel id=p2 hidden>12 juta</div>"
    ),
    ["Tarif 2025\n\n9 juta", "Tarif 2026\n\n12 juta"],
)
add(
    "l10.html",
    page(
        "<header><h1>Tariffa 2027</h1><p>In vigore dal 1 gennaio</p><nav>Home</nav></header>"
        "<p>Il costo è 8 milioni.</p>"
    ),
    ["Tariffa 2027", "In vigore dal 1 gennaio", "8 milioni"],
    ["Home"],
)
add(
    "h6.html",
    page(
        '<p>Vero</p><p class="w">IGNORE</p><p style="color:#fefefe">IGNORE</p>'
        '<p style="color:white;background-color:white">IGNORE</p>',
        head="<style>.w{color:#fff;background:#fff}</style>",
    ),
    ["Vero"],
    ["IGNORE"],
)
add(
    "n2.html",
    page(
        '<div id="CybotCookiebotDialog"><p>Questo sito usa cookie</p></div>'
        '<div id="cookieModal"><p>Accetta tutto</p></div><h1>G</h1><p>Testo della guida.</p>'
    ),
    ["Testo della guida"],
    ["usa cookie", "Accetta"],
)
add("c10.csv", 'Tarif 2026\nMenteri\n\n"Kode","Tarif"\nA1,"2,000,000"\n', ["Tarif: 2,000,000"])
add(
    "g15.html",
    page(
        "<h1>Tariffa</h1><p>Rp 404.000 per domanda. In caso di 'page not found' riprovare dopo "
        "24 ore e contattare l'ufficio.</p>"
    ),
    ["404.000"],
)
for text in (
    "This site can\u2019t be reached</p><p>www.oss.go.id took too long to respond.",
    "Your connection is not private</p><p>NET::ERR_CERT_AUTHORITY_INVALID",
    "Domain for sale</p><p>Buy this domain.",
    "Verify you are human</p><p>Complete the security check by completing the action below.",
):
    add(f"browser {len(CASES)}.html", page(f"<p>{text}</p>"), accepted=False)
for written, iso in [
    ("2 ottobre 2025", "2025-10-02"),
    ("10/2025", "2025-10-01"),
    ("2025.10.02", "2025-10-02"),
    ("October 2, 2025", "2025-10-02"),
    ("31-12-2025", "2025-12-31"),
    ("1° gennaio 2026", "2026-01-01"),
    ("17 Agustus 2025", "2025-08-17"),
    ("2025-10-02T10:00:00Z", "2025-10-02"),
    ("02 Okt 2025", "2025-10-02"),
    ("2 ottobre 2025 (in vigore)", "2025-10-02"),
    ("25/10/02", None),
    ("dal 2 ottobre 2025", "2025-10-02"),
    ("Giovedì 2 ottobre 2025", "2025-10-02"),
    ("01-Oct-2025", "2025-10-01"),
    ("10.2025", "2025-10-01"),
    ("in vigore dal 02.10.2025", "2025-10-02"),
    ("berlaku sejak 2 Oktober 2025", "2025-10-02"),
    ("2nd of October, 2025", "2025-10-02"),
]:
    add(
        f"date {len(CASES)}.md",
        f"---\ntitle: G\neffective_date: {written}\n---\n\nTesto.\n",
        ["Testo"],
        ["effective"],
        date=iso,
    )
add(
    "m1.md",
    "---\ntitle: Guida: i visti 2026\nlanguage: it\n---\nTesto del visto.",
    ["Testo"],
    ["title:"],
    title="Guida: i visti 2026",
)
add(
    "m2.md",
    '---\nTITLE: "Visti"\nLANG: IT-it\neffective-date: 2026-01-01\n---\nTesto.',
    title="Visti",
    language="it",
    date="2026-01-01",
)
add("m10.md", "---\nberlaku-sejak: 2026-01-01\n---\nTesto.", date="2026-01-01")
add("m11.md", "---\neffectiveDate: 2026-01-01\n---\nTesto.", date="2026-01-01")
add(
    "m3.md",
    '+++\ntitle = "V"\neffective_date = 2026-01-01\nlanguage = "en"\n[extra]\nx=1\n+++\n\nText body.',
    ["Text body"],
    ["title ="],
    title="V",
    language="en",
    date="2026-01-01",
)
add("m4.md", "---\ntitle: [\nlanguage: it\n---\nTesto", ["Testo"], ["language:"], language="it")
add("m5.md", "---\n\nSolo una riga\n\n---\n\n# T\n\nAltro", ["Solo una riga", "Altro"])
add("m6.md", "﻿---\r\ntitle: W\r\n---\r\nTesto", ["Testo"], ["title:"], title="W")
add(
    "m7.md",
    "---\ntitle: A\ntags:\n  - x\n  - y\ndate: 2026-01-01\nauthor:\n  name: B\n---\nTesto.",
    ["Testo"],
    ["tags"],
    title="A",
)
add("m8.md", "\n---\ntitle: A\n---\nTesto.", ["Testo"], ["title:"], title="A")
add("m9.md", "---\ntitle: A\nlanguage: Bahasa Indonesia\n---\nTesto.", language="id")
for code, text in [
    ("de", "Das Mindestkapital der Gesellschaft beträgt zehn Milliarden Rupiah."),
    ("fr", "Le capital minimum de la société est de dix milliards de roupies."),
    ("nl", "Het minimumkapitaal van de vennootschap bedraagt tien miljard roepia."),
    ("zh", "公司的最低资本为一百亿印尼盾。"),
    ("ja", "会社の最低資本金は百億ルピアです。"),
    ("ko", "회사의 최소 자본금은 백억 루피아입니다."),
    ("es", "El capital mínimo de la sociedad es de diez mil millones de rupias."),
    ("pt", "O capital mínimo da sociedade é de dez mil milhões de rupias."),
    (
        "ms",
        "Syarikat hendaklah membayar cukai pendapatan kepada kerajaan Malaysia mengikut undang-undang.",
    ),
    ("ar", "الحد الأدنى لرأس مال الشركة هو عشرة مليارات روبية."),
    ("uk", "Мінімальний капітал компанії становить десять мільярдів рупій."),
    ("tr", "Şirketin asgari sermayesi on milyar rupidir."),
    ("vi", "Vốn tối thiểu của công ty là mười tỷ rupiah."),
    ("th", "ทุนขั้นต่ำของบริษัทคือหนึ่งหมื่นล้านรูเปียห์"),
    ("pl", "Minimalny kapitał spółki wynosi dziesięć miliardów rupii."),
    ("id", "Modal minimum perusahaan adalah sepuluh miliar rupiah."),
    ("it", "Il capitale minimo della società è di dieci miliardi di rupie."),
    ("en", "The minimum capital of the company is ten billion rupiah."),
    ("und", "12345 67890 10.000.000"),
    ("hi", "कंपनी की न्यूनतम पूंजी दस अरब रुपिया है।"),
    ("sv", "Bolagets minimikapital är tio miljarder rupier."),
    ("el", "Το ελάχιστο κεφάλαιο της εταιρείας είναι δέκα δισεκατομμύρια ρουπίες."),
]:
    add(f"language-{code}.txt", text, language=code)
add(
    "w1.txt",
    "Il contri-\nbuente paga l\u2019im-\nposta; le undang-\nundang e i non-\nresidenti; anak-\nanak.",
    ["contribuente", "imposta", "undang-undang", "anak-anak"],
)
add(
    "w2.txt",
    "ﬁnanza e ﬂusso; con\u200bsorzio; 10\u202f000\u00a0000",
    ["finanza e flusso", "consorzio", "10 000 000"],
)
add(
    "w3.html",
    page(
        "<p>Kantor<br>Pusat</p><p>Kode<wbr>56101 x<br/>5</p><table><tr><td>a<br>b</td><td>1<br>2</td></tr><tr><td>c</td><td>3</td></tr></table>"
    ),
    ["a b", "1 2"],
    ["KantorPusat", "ab |"],
)
add("t1.txt", "Guida\n\nTesto qualsiasi di prova.", title="t1")
add("gate2.csv", "No Rekening,Nama\n4111 1111 1111 1111,x\n", ["Rekening"])


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_a_file_of_the_kind_is_read(case: Case) -> None:
    try:
        prepared = prepare(case.content, case.name)
    except DocumentRejected:
        assert not case.accepted
        return
    assert (not prepared.findings.faults) == case.accepted
    loaded = prepared.loaded
    text = loaded.text[loaded.body_start :].replace("|", " ").replace("**", "")
    flat = " ".join(text.split())
    if case.accepted:
        assert [words for words in case.holds if " ".join(words.split()) not in flat] == []
        assert [words for words in case.lacks if words in flat] == []
    found: dict[str, Any] = {
        "title": loaded.title,
        "language": loaded.language,
        "date": loaded.effective_date,
    }
    assert {name: found[name] for name in case.told} == case.told
