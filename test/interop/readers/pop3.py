"""Every command of poplib, with its answers. Arguments: the ports of POP3, POP3S and IMAPS, the authority's file, user, password,
a directory with the messages 0 to 7 that the mailbox has, in wire form."""

import base64
import imaplib
import poplib
import re
import ssl
import sys

port, tls_port, imap_port, ca, user, password, seeds = sys.argv[1:]
context = ssl.create_default_context(cafile=ca)
texts = [open(f"{seeds}/{i}", "rb").read() for i in range(8)]
poplib._MAXLINE = 100_000


def eq(got, want):
    if got != want:
        raise AssertionError(f"{got!r}, not {want!r}")


def refused(command, *args, code=""):
    try:
        command(*args)
    except poplib.error_proto as e:
        if code not in str(e):
            raise
        return
    raise AssertionError(f"{command} {args} is not refused")


def connect(login=True):
    p = poplib.POP3_SSL("localhost", int(tls_port), context=context, timeout=30)
    p.user(user)
    if login:
        p.pass_(password)
    return p


def lines(text):
    return text.removesuffix(b"\r\n").split(b"\r\n")


def uidls(p):
    return [line.split()[1].decode() for line in p.uidl()[1]]


def first():
    """A session that begins in clear."""
    p = poplib.POP3("localhost", int(port), timeout=20)
    if not {"STLS", "UIDL", "TOP", "PIPELINING", "RESP-CODES", "AUTH-RESP-CODE"} <= p.capa().keys():
        raise AssertionError(p.capa())
    p.stls(context=context)
    capa = p.capa()
    if "STLS" in capa or "USER" not in capa or "PLAIN" not in capa["SASL"] or "CRAM-MD5" in capa["SASL"]:
        raise AssertionError(capa)
    p.user(user)
    refused(p.pass_, "wrong", code="[AUTH]")
    refused(p.stat)
    p._shortcmd("AUTH PLAIN " + base64.b64encode(f"\0{user}\0{password}".encode()).decode())
    eq(p.stat(), (8, sum(map(len, texts))))
    p.quit()


def reads():
    p = connect()
    refused(connect(login=False).pass_, password, code="[IN-USE]")
    if "UTF8" in p.capa():
        refused(p.utf8)  # only before the login
    eq(p.list()[1], [b"%d %d" % (i, len(text)) for i, text in enumerate(texts, 1)])
    eq(p.list(6).split()[1:], [b"6", b"%d" % len(texts[5])])
    refused(p.list, 9)
    ids = uidls(p)
    eq(len(set(ids)), 8)
    eq(p.uidl(3).split()[1:], [b"3", ids[2].encode()])
    for i, text in enumerate(texts, 1):
        eq(p.retr(i)[1], lines(text))
    header, body = texts[3].split(b"\r\n\r\n", 1)
    eq(p.top(4, 0)[1], lines(header + b"\r\n\r\n"))
    eq(p.top(4, 2)[1], lines(header + b"\r\n\r\n") + lines(body)[:2])
    eq(p.top(4, 99999999)[1], lines(texts[3]))
    refused(p.retr, 9)
    refused(p._shortcmd, "LAST")
    refused(p._shortcmd, "RETR")
    p.dele(2)
    refused(p.retr, 2)
    refused(p.dele, 2)
    eq(p.stat()[0], 7)
    eq(len(p.list()[1]), 7)
    p.rset()
    eq(p.stat()[0], 8)
    p.noop()

    p._putcmd("STAT\r\n" + "".join(f"RETR {i}\r\n" for i in range(1, 9)) + "NOOP")
    p._getresp()
    for text in texts:
        eq(p._getlongresp()[1], lines(text))
    p._getresp()
    return p, ids


def deletes(p, ids):
    """Only QUIT deletes; what stays keeps its ids."""
    p.dele(1)
    p.close()
    p = connect()
    eq(uidls(p), ids)
    p.dele(2)
    p.dele(8)
    p.quit()
    p = connect()
    left = ids[:1] + ids[2:7]
    eq(uidls(p), left)
    p.quit()

    c = imaplib.IMAP4_SSL("localhost", int(imap_port), ssl_context=context, timeout=20)
    c.login(user, password)
    eq(c.select("INBOX", readonly=True)[1], [b"6"])
    validity = int(c.response("UIDVALIDITY")[1][0])
    uids = [int(re.search(rb"UID (\d+)", line).group(1)) for line in c.fetch("1:*", "(UID FLAGS)")[1]]
    eq(left, ["%08x%08x" % (uid, validity) for uid in uids])
    c.logout()


first()
deletes(*reads())
