"""Lines that are no example of `small_talk.json`: what the decision is measured on."""

SMALL_TALK = """\
ciao come va
grazie mille
terima kasih banyak
good night
who are you
tell me a joke
lol
lol ok
how's it going?
good afternoon
hey!
hi zantara
hello, nice to see you
thank you so much
thanks!
cheers mate
see you later
goodbye
you're the best
what can you do?
do you like music?
how old are you?
I'm fine, and you?
okay thanks
sounds good
wow
good job
I'm tired today
are you human?
salve
buonanotte
ehi, tutto bene?
grazie dell'aiuto
ci vediamo dopo
chi sei?
dimmi una battuta
che bella giornata
sei bravissimo
ok grazie
capito, grazie
ottimo
come stai oggi?
scusami
buon weekend
selamat siang
apa kabar hari ini?
makasih banyak ya
kamu siapa?
selamat tidur
hai
oke sip
mantap
lucu banget haha
sampai nanti
kamu baik sekali
permisi
buenas noches
gracias por todo
salut, comment tu vas ?
bonne nuit
gute Nacht
vielen Dank für deine Hilfe
おはようございます
元気ですか？
👋
😂😂
""".splitlines()

SHORT_QUESTIONS = """\
KBLI 56101?
E33G
PT PMA
visto turistico
what about tax?
e i tempi?
Pasal 33
KITAS
visa
tax
company
pajak
tasse
capitale minimo
modal PT PMA
and for foreigners?
how much?
quanto costa?
berapa?
kapan?
e per gli stranieri?
bagaimana dengan pajak?
bisa 100% asing?
nominee
hak milik
villa a Bali
restoran
hire staff
lavoro
PPN
VAT
NIB
golden visa
e se ho due soci?
what is LKPM?
Cos'è il KITAS?
apa itu KBLI?
can I work remotely from Bali?
UU 25/2007
PP 28/2025
minimum wage
severance
ferie
licenziamento
BPJS
who are the directors?
chi può essere direttore?
siapa yang boleh jadi direktur?
hi, what is the minimum capital of a PT PMA?
ciao! quanto costa aprire una PT PMA?
halo, berapa modal minimum PT PMA?
thanks! and how long does it take?
grazie, e quanto tempo ci vuole?
good morning, I need a visa
E28A vs E33
overstay
tell me about leasehold
parlami del visto investitore
is it legal?
è legale?
boleh?
do I need it?
perché?
why?
how do I make pizza dough?
chi ha scritto la divina commedia?
""".splitlines()
