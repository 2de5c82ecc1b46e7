"""Words of a question that say nothing about its subject, in our three languages."""

_WORDS = """
a about after all an and any are as at be been before between but by can could current currently did
do does for from get had has have how i if important in into is it its long many may me more most
much must my need no not of on one or our over own per several shall she should so some such than
that the their them then there these they this those to under up us was we were what when where
which while who whom whose why will with would you your

ad agli ai al all alla alle allo anche bisogna che chi ci come con contro cosa cui da dagli dai dal
dall dalla dalle dallo degli dei del dell della delle dello deve devo devono di dopo dove e ed era
essere fa far fare fra gli ha hanno ho il io l la le lei li lo loro lui ma mi mia mie miei mio ne
negli nei nel nell nella nelle nello nessun noi non o od ogni per perche piu po posso possono prima
puo qual quale quali quando quanta quante quanti quanto quella quelle quelli quello questa queste
questi questo se sei senza serve servono si sia siamo siano sono sotto su sua sue sugli sui sul sull
sulla sulle sullo suo suoi te ti tra tu tutta tutte tutti tutto un una uno vi voi vorrei

ada adalah agar akan aku anda antara apa apabila apakah atas atau bagaimana bagi bahwa banyak belum
berapa bila bisa bisakah boleh bolehkah bukan dalam dan dapat dari demi dengan di dia hal hanya
harus hingga ia ini itu jika juga kalau kami kapan karena ke kepada ketika kita lagi lain lalu lama
lebih maka mana masih melalui mengapa mereka namun oleh pada para perlu pertama pun punya saat saja
sampai sangat saya sebagai sebelum sebuah secara sedang seperti serta setelah setiap siapa suatu
sudah supaya tanpa telah tentang terhadap tersebut tetapi tiap tidak untuk yaitu yang
"""

STOP_WORDS = frozenset(_WORDS.split())
