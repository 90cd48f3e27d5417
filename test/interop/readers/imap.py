"""Every command of imaplib, and others by hand, with their answers. Arguments: the ports of IMAP and IMAPS, the authority's
file, user, password, a directory with the messages 0 to 7 that INBOX has, in wire form."""

import imaplib
import re
import ssl
import sys
import time

port, tls_port, ca, user, password, seeds = sys.argv[1:]
context = ssl.create_default_context(cafile=ca)
texts = [open(f"{seeds}/{i}", "rb").read() for i in range(8)]
imaplib.Commands.setdefault("UNSELECT", ("SELECTED",))
imaplib.Commands.setdefault("MOVE", ("SELECTED",))


def eq(got, want):
    if got != want:
        raise AssertionError(f"{got!r}, not {want!r}")


def has(got, *wants):
    for want in wants:
        if want not in got:
            raise AssertionError(f"no {want!r} in {got!r}")


def ok(answer):
    typ, data = answer
    eq(typ, "OK")
    return data


def no(answer, code=b""):
    eq(answer[0], "NO")
    has(answer[1][0].upper(), code)


def connect(login=True):
    c = imaplib.IMAP4_SSL("localhost", int(tls_port), ssl_context=context, timeout=20)
    if login:
        ok(c.login(user, password))
    return c


def fetch(c, numbers, what):
    """The literals of each message that is fetched, and the rest."""
    answers = {}
    number = None
    for part in ok(c.fetch(numbers, what)):
        line = part[0] if isinstance(part, tuple) else part
        if re.match(rb"\d+ \(", line):
            number = int(line.split()[0])
            answers[number] = [b"", []]
        answers[number][0] += line
        if isinstance(part, tuple):
            answers[number][1].append(part[1])
    return answers


def literal(c, number, what):
    return fetch(c, str(number), "(" + what + ")")[number][1][0]


def search(c, *criteria, charset=None, literal=None):
    if literal is not None:
        c.literal = literal
    return [int(n) for n in ok(c.search(charset, *criteria))[0].split()]


def code(c, name):
    """A response code's argument."""
    return c.response(name)[1][0]


def logins():
    c = imaplib.IMAP4("localhost", int(port), timeout=20)
    ok(c.starttls(context))
    ok(c.authenticate("PLAIN", lambda _: b"\0" + user.encode() + b"\0" + password.encode()))
    ok(c.capability())
    eq(c.logout()[0], "BYE")

    c = connect(login=False)
    try:
        c.login(user, "wrong")
        raise AssertionError("a wrong password is taken")
    except imaplib.IMAP4.error as e:
        has(str(e), "AUTHENTICATIONFAILED")
    ok(c.noop())
    c.literal = password.encode()
    ok(c._simple_command("LOGIN", user))
    c.logout()

    c = connect(login=False)  # without waiting, as LITERAL+ allows
    c.send(b"x1 LOGIN {%d+}\r\n%s {%d+}\r\n%s\r\nx2 CAPABILITY\r\nx3 LOGOUT\r\n" % (len(user), user.encode(), len(password), password.encode()))
    answers = c.file.read()
    has(answers, b"x1 OK", b"* CAPABILITY ", b"x2 OK", b"* BYE", b"x3 OK")
    c.shutdown()


def capabilities(c):
    capable = ok(c.capability())[0].decode().upper().split()
    has(capable, *"IMAP4REV1 IDLE UIDPLUS MOVE NAMESPACE SPECIAL-USE UNSELECT ENABLE ID CHILDREN LIST-EXTENDED LIST-STATUS ESEARCH LITERAL+ SASL-IR COMPRESS=DEFLATE".split())
    if any(word in capable for word in ("AUTH=CRAM-MD5", "LOGINDISABLED", "STARTTLS")):
        raise AssertionError(capable)
    has(ok(c.namespace())[0], b'(("" "')
    ok(c.xatom("ID", "NIL"))
    ok(c.xatom("ID", '("name" "imaplib" "empty" NIL)'))
    ok(c.xatom("ENABLE", "X-NOBODY-HAS-THIS"))


def folders(c):
    delimiter = re.search(rb'"(.)"', ok(c.list('""', '""'))[0]).group(1).decode()
    inner, moved = "R&AOQ-ume" + delimiter + "Keller", "&ZeVnLIqe-"
    ok(c.create("R&AOQ-ume"))
    ok(c.create('"%s"' % inner))
    no(c.create("R&AOQ-ume"), b"ALREADYEXISTS")
    no(c.select("Nowhere"))
    no(c.delete("Nowhere"), b"NONEXISTENT")
    no(c.rename("Nowhere", "Elsewhere"), b"NONEXISTENT")
    listed = b"\n".join(ok(c.list()))
    has(listed, b"INBOX", b"R&AOQ-ume", inner.encode(), b"\\Sent", b"\\Trash", b"\\Drafts", b"\\Junk")
    eq(len(ok(c.list('""', inner))), 1)
    if b"Keller" in b"\n".join(ok(c.list('""', "%"))):
        raise AssertionError("% lists what is below")
    has(b"\n".join(ok(c.list('"R&AOQ-ume"', '"*"'))) + b"\n".join(ok(c.list('"R&AOQ-ume%s"' % delimiter, '"*"'))), b"Keller")

    eq(ok(c.lsub('""', inner)), [None])
    ok(c.subscribe(inner))
    has(b"\n".join(ok(c.lsub('""', "*"))), inner.encode())
    ok(c.unsubscribe(inner))
    eq(ok(c.lsub('""', inner)), [None])
    ok(c.subscribe("R&AOQ-ume"))

    ok(c.append(inner, None, None, texts[0]))
    ok(c.rename("R&AOQ-ume", moved))  # and what is below
    has(b"\n".join(ok(c.list())), moved.encode(), (moved + delimiter + "Keller").encode())
    has(ok(c.status(moved + delimiter + "Keller", "(MESSAGES UIDNEXT UNSEEN)"))[0], b"MESSAGES 1", b"UIDNEXT 2", b"UNSEEN 1")
    ok(c.delete(moved + delimiter + "Keller"))
    ok(c.delete(moved))
    eq(ok(c.list('""', moved)), [None])
    ok(c.create("Kept"))
    ok(c.create("Kept" + delimiter + "Unsubscribed"))
    ok(c.subscribe("Kept"))


def append(c):
    c.untagged_responses.clear()
    when = time.strptime("2021-03-04 05:06:07 UTC", "%Y-%m-%d %H:%M:%S %Z")
    data = ok(c.append("Kept", r"(\Seen \Answered $Forwarded)", '" 4-Mar-2021 05:06:07 +0000"', texts[2]))
    has(data[0], b"[APPENDUID ")
    ok(c.append("Kept", r"(\Flagged)", None, texts[5]))
    ok(c.append("Kept", r"(\Draft)", None, b"Subject: no end of line\r\n\r\nlast"))
    eq(c.append("Nowhere", None, None, texts[0])[0], "NO")
    eq(ok(c.select("Kept")), [b"3"])
    got = fetch(c, "1:*", "(FLAGS INTERNALDATE RFC822.SIZE BODY.PEEK[])")
    has(got[1][0], b"\\Seen", b"\\Answered", b"$Forwarded", b"RFC822.SIZE %d" % len(texts[2]))
    eq(time.gmtime(time.mktime(imaplib.Internaldate2tuple(got[1][0])))[:6], when[:6])
    eq([got[i][1] for i in (1, 2, 3)], [[texts[2]], [texts[5]], [b"Subject: no end of line\r\n\r\nlast"]])
    has(got[3][0], b"\\Draft")
    ok(c.check())
    ok(c.unselect())


def sections(c):
    eq(ok(c.select("INBOX")), [b"8"])
    has(code(c, "PERMANENTFLAGS"), b"\\*", b"\\Seen", b"\\Deleted")
    has(code(c, "FLAGS"), b"\\Answered", b"\\Flagged", b"\\Draft")
    for i, text in enumerate(texts, 1):
        eq(literal(c, i, "BODY.PEEK[]"), text)
        header, body = text.split(b"\r\n\r\n", 1)
        eq(literal(c, i, "RFC822.HEADER"), header + b"\r\n\r\n")
        eq(literal(c, i, "BODY.PEEK[HEADER]"), header + b"\r\n\r\n")
        eq(literal(c, i, "BODY.PEEK[TEXT]"), body)
        eq(literal(c, i, "BODY.PEEK[]<10.20>"), text[10:30])
        eq(literal(c, i, "BODY.PEEK[TEXT]<1.9999>"), body[1:10000])
    eq(literal(c, 7, "BODY.PEEK[HEADER.FIELDS (X-FOLDED Subject)]"), b"Subject: seed 6.\r\nX-Folded: one\r\n two\r\n\tthree\r\n\r\n")
    eq(literal(c, 1, "BODY.PEEK[HEADER.FIELDS.NOT (Message-ID Date)]"), b"From: Sender 0 <sender0@elsewhere.test>\r\nTo: reader@example.test\r\nSubject: seed 0.\r\n\r\n")
    eq(literal(c, 3, "BODY.PEEK[1]"), b"see the file")
    eq(literal(c, 3, "BODY.PEEK[1.MIME]"), b"Content-Type: text/plain\r\n\r\n")
    eq(literal(c, 3, "BODY.PEEK[2]"), b"AAECAwQFBgcICQ==")
    eq(literal(c, 3, "BODY.PEEK[2]<4.4>"), b"AwQF")
    eq(literal(c, 1, "BODY.PEEK[1]"), texts[0].split(b"\r\n\r\n", 1)[1])
    has(fetch(c, "3", "BODYSTRUCTURE")[3][0].lower(), b'(("text" "plain" ', b'"application" "octet-stream" ("name" "mango.bin") nil nil "base64" 16 ', b'("attachment" ("filename" "mango.bin"))', b'"mixed" ("boundary" "=_b")')
    envelope = fetch(c, "2", "ENVELOPE")[2][0]
    has(envelope, b'ENVELOPE ("Sat, 21 Nov 2026 00:00:01 +0000" "seed 1." (("Sender 1" NIL "sender1" "elsewhere.test"))', b'((NIL NIL "reader" "example.test"))', b'"<seed.1@elsewhere.test>")')
    has(fetch(c, "2", "FULL")[2][0], b"FLAGS (", b"INTERNALDATE ", b"RFC822.SIZE %d" % len(texts[1]), b"ENVELOPE (", b"BODY (")
    has(fetch(c, "2", "ALL")[2][0], b"ENVELOPE (")
    has(fetch(c, "2", "FAST")[2][0], b"RFC822.SIZE %d" % len(texts[1]))
    several = fetch(c, "1", "(BODY.PEEK[HEADER.FIELDS (SUBJECT)] BODY.PEEK[TEXT]<0.5> UID)")[1]
    eq(several[1], [b"Subject: seed 0.\r\n\r\n", b"plain"])
    eq(search(c, "SEEN"), [])
    eq(literal(c, 4, "RFC822"), texts[3])
    eq(literal(c, 5, "RFC822.TEXT"), texts[4].split(b"\r\n\r\n", 1)[1])
    eq(search(c, "SEEN"), [4, 5])


def searches(c):
    every = list(range(1, 9))
    for want, *criteria in (
        (every, "ALL"),
        ([1, 2, 3, 6, 7, 8], "UNSEEN"),
        ([1, 2, 3], "UNSEEN", "1:5"),
        ([4], "SUBJECT", '"seed 3."'),
        ([6], "BODY", "papaya"),
        ([6], "TEXT", "PAPAYA"),
        ([2], "FROM", "sender1@"),
        ([1, 8], "HEADER", "From", '"Sender 0"'),
        ([7], "HEADER", "X-Folded", '""'),
        ([6], "LARGER", "3000"),
        ([1, 2, 3, 4, 5, 7, 8], "SMALLER", "3000"),
        (every, "SENTON", "21-Nov-2026"),
        ([], "SENTBEFORE", "21-Nov-2026"),
        (every, "SENTSINCE", "21-Nov-2026"),
        (every, "SINCE", "1-Jan-2020"),
        ([], "BEFORE", "1-Jan-2020"),
        ([1, 4], "OR", "SUBJECT", '"seed 0."', "SUBJECT", '"seed 3."'),
        ([4, 5], "NOT", "UNSEEN"),
        ([2, 3], "NOT", "(OR", "1", "4:*)"),
        ([8], "*"),
        ([], "KEYWORD", "$Never"),
        (every, "UNKEYWORD", "$Never", "UNDELETED", "UNDRAFT", "UNFLAGGED", "UNANSWERED"),
    ):
        eq(search(c, *criteria), want)
    eq(search(c, "BODY", charset="UTF-8", literal="日本".encode()), [2])
    eq(search(c, "TEXT", charset="UTF-8", literal="ελλάδα".encode()), [2])
    no(c.search("X-NO-CHARSET", "TEXT", "x"), b"BADCHARSET")
    uids = ok(c.uid("SEARCH", "ALL"))[0].split()
    eq(len(uids), 8)
    eq(ok(c.uid("SEARCH", "UID", uids[2].decode() + ":" + uids[3].decode()))[0].split(), uids[2:4])
    tag = c._new_tag()
    c.send(tag + b" SEARCH RETURN (MIN MAX COUNT ALL) SUBJECT seed\r\n")
    answer = c.readline()
    has(answer, b"* ESEARCH (TAG ", b"MIN 1", b"MAX 8", b"COUNT 8", b"ALL 1:8")
    has(c.readline(), tag + b" OK")


def flags(c):
    has(ok(c.store("1", "+FLAGS", r"(\Flagged $Label1 wichtig)"))[0], b"\\Flagged", b"$Label1", b"wichtig")
    eq(search(c, "KEYWORD", "$label1"), [1])
    eq(ok(c.store("1:2", "+FLAGS.SILENT", r"(\Answered)")), [None])
    has(ok(c.store("1", "-FLAGS", "wichtig"))[0], b"\\Flagged", b"$Label1")
    eq(search(c, "KEYWORD", "wichtig"), [])
    eq(search(c, "ANSWERED"), [1, 2])
    answer = ok(c.store("2", "FLAGS", r"(\Draft)"))[0]
    if b"\\Answered" in answer or b"\\Draft" not in answer:
        raise AssertionError(answer)
    ok(c.uid("STORE", uid(c, 3), "+FLAGS.SILENT", r"(\Seen)"))
    eq(search(c, "SEEN"), [3, 4, 5])


def uid(c, number):
    return re.search(rb"UID (\d+)", fetch(c, str(number), "(UID)")[number][0]).group(1).decode()


def copies(c):
    ok(c.create("Copies"))
    ok(c.copy("1:2", "Copies"))
    third = uid(c, 3)
    c.untagged_responses.clear()
    ok(c.uid("COPY", third, "Copies"))
    eq(code(c, "COPYUID").split()[1:], [third.encode(), b"3"])
    no(c.copy("1", "Nowhere"), b"TRYCREATE")
    c.untagged_responses.clear()
    ok(c._simple_command("MOVE", "8", "Copies"))
    eq(code(c, "EXPUNGE"), b"8")
    ok(c.uid("MOVE", uid(c, 7), "Copies"))
    has(ok(c.status("Copies", "(MESSAGES)"))[0], b"MESSAGES 5")
    has(ok(c.status("INBOX", "(MESSAGES)"))[0], b"MESSAGES 6")
    eq(ok(c.select("Copies", readonly=True)), [b"5"])
    eq([fetch(c, str(i), "BODY.PEEK[]")[i][1][0] for i in range(1, 6)], [texts[i] for i in (0, 1, 2, 7, 6)])
    has(fetch(c, "1", "(FLAGS)")[1][0], b"\\Flagged", b"$Label1", b"\\Answered")
    c.store("1", "+FLAGS", r"(\Deleted)")  # Dovecot says OK, too
    ok(c.close())


def expunges(c):
    eq(ok(c.select("Copies")), [b"5"])
    eq(search(c, "DELETED"), [])
    uids = [uid(c, i) for i in range(1, 6)]
    ok(c.store("1:2,4", "+FLAGS.SILENT", r"(\Deleted)"))
    c.untagged_responses.clear()
    ok(c.uid("EXPUNGE", uids[3]))
    eq(c.response("EXPUNGE")[1], [b"4"])
    gone = c.expunge()[1]
    if gone not in ([b"1", b"1"], [b"2", b"1"]):
        raise AssertionError(gone)
    eq([uid(c, i) for i in (1, 2)], [uids[2], uids[4]])
    ok(c.store("1", "+FLAGS.SILENT", r"(\Deleted)"))
    ok(c.unselect())
    eq(ok(c.select("Copies")), [b"2"])  # not expunged
    ok(c.close())
    eq(ok(c.select("Copies")), [b"1"])
    ok(c.close())


def told(c, pattern):
    """Waits for a line; a connection that is silent for 20 s, or ends, is a failure."""
    seen = []
    while True:
        seen.append(c.readline())
        if re.match(pattern, seen[-1]):
            return
        if not seen[-1]:
            raise AssertionError(f"not {pattern}, but {seen}")


def idle(c):
    """Waits for what another session does."""
    other = connect()
    eq(ok(c.select("INBOX")), [b"6"])
    eq(ok(other.select("INBOX")), [b"6"])
    tag = c._new_tag()
    c.send(tag + b" IDLE\r\n")
    has(c.readline(), b"+ ")
    ok(other.append("INBOX", None, None, texts[7]))
    told(c, rb"\* 7 EXISTS\r\n")
    ok(other.store("1", "+FLAGS", r"(\Seen)"))
    told(c, rb"\* 1 FETCH .*\\Seen")
    ok(other.store("2", "+FLAGS.SILENT", r"(\Deleted)"))
    ok(other.expunge())
    told(c, rb"\* 2 EXPUNGE\r\n")
    # DONE and the next commands in one burst, as mutt sends them.
    c.send(b"DONE\r\nx1 STATUS Kept (MESSAGES)\r\nx2 IDLE\r\nDONE\r\nx3 NOOP\r\n")
    answers = b""
    while b"\nx3 OK" not in answers:
        line = c.readline()
        if not line:
            raise AssertionError(answers)
        answers += b"\n" + line
    has(answers, tag + b" OK", b"\nx1 OK", b"\nx2 OK", b"MESSAGES 3")
    other.logout()


def errors(c):
    for line in (b"", b"FROBNICATE", b"FETCH 1", b"FETCH 0 FLAGS", b"FETCH 1 BODY[", b"UID FROB 1", b"STORE 1 FLAGS (\\Seen", b"SELECT", b"LOGIN x y"):
        tag = c._new_tag()
        c.send(tag + b" " + line + b"\r\n")
        answer = c.readline()
        while answer.startswith(b"* OK [CLOSED]"):
            answer = c.readline()
        if not answer.startswith((tag + b" BAD", tag + b" NO")):
            raise AssertionError((line, answer))
    ok(c.noop())


c = connect()
logins()
capabilities(c)
folders(c)
append(c)
sections(c)
searches(c)
flags(c)
copies(c)
expunges(c)
idle(c)
errors(c)
eq(c.logout()[0], "BYE")
