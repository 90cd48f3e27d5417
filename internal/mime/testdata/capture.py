#!/usr/bin/env python3
"""Asks Dovecot how it answers for the messages below and writes dovecot.json beside this file.

Run it as root where Debian's dovecot-imapd is installed (the answers kept here are those of 2.3.19.1). It starts
/usr/lib/dovecot/imap on its standard input and output, already logged in as nobody, over a Maildir in a temporary
directory; no daemon runs and no port is opened. Octets are kept as the characters of the same number.
"""
import json, os, re, shutil, subprocess, tempfile

H = b"From: a@b.example\nTo: c@d.example\nSubject: s\nDate: Sat, 21 Nov 2026 10:00:00 +0000\nMessage-ID: <1@x>\n"
STRUCTURE = ["RFC822.SIZE", "ENVELOPE", "BODY", "BODYSTRUCTURE"]
CASES = []


def case(name, message, sections=()):
    CASES.append((name, message, STRUCTURE + ["BODY.PEEK[%s]" % s for s in sections]))


def mixed(*parts, b=b"b", end=True, pre=b"", epi=b"", extra=b""):
    m = H + b'MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary="' + b + b'"' + extra + b"\n\n" + pre
    for p in parts:
        m += b"--" + b + b"\n" + p + b"\n"
    return m + (b"--" + b + b"--\n" if end else b"") + epi


T = b"Content-Type: text/plain\n\nhello\nworld\n"
SECTS = ["", "HEADER", "TEXT", "1", "1.MIME", "1.HEADER", "1.TEXT", "2", "2.MIME", "2.HEADER", "2.TEXT", "2.1", "2.1.MIME",
         "2.1.1", "2.2", "3", "1.1", "1.1.1", "HEADER.FIELDS (SUBJECT TO X-NONE)", "HEADER.FIELDS.NOT (SUBJECT TO)", "MIME",
         "2.HEADER.FIELDS (SUBJECT)", "2.HEADER.FIELDS.NOT (SUBJECT)", "1.HEADER.FIELDS (SUBJECT)", "2.1.TEXT", "2.1.HEADER",
         "HEADER.FIELDS (X-NONE)", "2.2.MIME", "2.2.1", "1.2", "4.MIME", "1.1.MIME"]
INNER = b"From: in@n.er\nSubject: inner\n"
RFC = b"Content-Type: message/rfc822\n\n"

case("plain", H + b"\nhello\nworld\n", SECTS)
case("plain crlf", (H + b"\nhello\nworld\n").replace(b"\n", b"\r\n"), SECTS)
case("mixed line ends", H + b"\r\nhello\nworld\r\nbare\rcr\r\r\nx\n", ["", "HEADER", "TEXT", "1"])
case("partial", H + b"\nhello\nworld\nmore\n", ["]<0.10>", "]<3.100000>", "TEXT]<5.3>", "TEXT]<6.1>", "TEXT]<100.1>", "1]<7.3>", "HEADER]<17.4>", "HEADER.FIELDS (SUBJECT)]<3.7>", "]<0.0>"])
case("no header", b"\nhello\n", SECTS)
case("no body", H, SECTS)
case("no body, no last newline", H[:-1], SECTS)
case("no body, empty line", H + b"\n", ["", "HEADER", "TEXT", "1"])
case("empty", b"", ["", "HEADER", "TEXT", "1", "HEADER.FIELDS (SUBJECT)"])
case("body without last newline", H + b"\nhello\nworld", ["TEXT"])
case("no colon", b"garbage line\n" + H + b"more garbage\nX: y\n\nbody\n", ["HEADER", "TEXT", "HEADER.FIELDS (X)", "HEADER.FIELDS.NOT (X)"])
case("first line folded", b" folded\n" + H + b"\nbody\n", ["HEADER", "TEXT", "HEADER.FIELDS (SUBJECT)", "HEADER.FIELDS.NOT (SUBJECT)"])
case("mbox from line", b"From a@b Sat Nov 21 10:00:00 2026\n" + H + b"\nbody\n", ["HEADER", "TEXT", "HEADER.FIELDS (FROM)"])
case("space line in header", H + b" \t\nX: y\n\nbody\n", ["HEADER", "TEXT"])
case("space before colon", b"Subject : spaced\nContent-Type : text/html\n\nx\n", ["HEADER.FIELDS (SUBJECT)"])
case("nul", b"Subject: a\x00b\nFrom: \"x\x00y\" <a\x00@b>\n\nbo\x00dy\n", ["", "TEXT", "HEADER", "HEADER.FIELDS (SUBJECT)"])
case("fields folded", b"Subject: a\n b\n\tc\nTo: x@y,\n z@w\nsubject: two\n\nb\n", ["HEADER.FIELDS (Subject)", "HEADER.FIELDS.NOT (subject)", "HEADER.FIELDS (To Subject)"])
case("duplicates", b"Subject: one\nSubject: two\nFrom: a@b\nFrom: c@d\nDate: x\nDate: y\nMessage-Id: <1>\nMessage-Id: <2>\nContent-Type: text/html\nContent-Type: text/css\nContent-ID: a\nContent-ID: b\n\nx\n")
case("empty values", b"Subject:\nFrom:\nTo: \nDate: \nMessage-Id:\nIn-Reply-To: \nContent-Type:\nContent-ID:\nContent-Description: \nContent-Transfer-Encoding:\nContent-Disposition:\nContent-Language:\nContent-Location:\n\nx\n")
case("strings", b"Subject: quo\"te and back\\slash\nMessage-Id: <a\n b>\nIn-Reply-To:   <x>   \nDate: (c) x\t\n\nx\n")
case("folded at once", b"Subject:\n s t\nMessage-Id:\n <a@b>\nDate: \n\tx\nFrom:\n A\n <b@c>\nContent-Type:\n text/html;\n\tcharset=utf-8\nContent-ID:\n <x>\nContent-Transfer-Encoding:\n base64\n\nx\n")
case("folded at once crlf", b"Subject:\r\n s\r\n t\r\nMessage-Id:\r\n <a@b>\r\nDate: \r\n\tx\r\nFrom:\r\n A\r\n <b@c>\r\nContent-ID:\r\n <x\r\n y>\r\nMime-Version: 1.0\r\n\r\nx\r\n")
case("escapes", b"Subject: \\\nMessage-Id: \"\"\"\"\nIn-Reply-To: \"\"\"\"\"\nFrom: \"a\\\"\\\"\\\"\\\"\\\"\"@b\nDate: a\rb\n\nx\n")
case("subject of blanks", b"Subject:  a  b \nDate:  a  b \nFrom: \"a  b\" <c@d>\nTo: \" \" <c@d>\n\nx\n")
case("subject blank", b"Subject: \n \t\nContent-Description: \n \n\nx\n")
case("header after long line", b"X: " + b"y" * 33000 + b"\nSubject: s\nY: " + b"z" * 33000 + b"\n folded\nFrom: a@b\n\nbody\n", ["HEADER.FIELDS (SUBJECT FROM)", "TEXT"])
case("8bit", b"Subject: gr\xfc\xdfe\nFrom: J\xf6rg <j\xf6rg@b\xfccher.example>\nTo: \"\xc3\xbc\" <\xc3\xbc@x>, \xff\n\nx\n")
case("rfc2047", b"Subject: =?utf-8?q?a_b?=\n =?utf-8?q?c?=\nFrom: =?utf-8?q?J=C3=B6rg?= <j@x>\nContent-Description: =?utf-8?q?d?=\n =?x?=\nContent-Type: text/plain; name==?utf-8?b?eA==?=\n\nx\n")
case("all fields", b"Mime-Version: 1.0\nContent-Type: text/html; charset=utf-8\nContent-ID: <id@x>\nContent-Description: a description\nContent-Transfer-Encoding: Quoted-Printable\nContent-MD5: Q2hlY2sgSW50ZWdyaXR5IQ==\nContent-Disposition: attachment; filename=\"a b.txt\"; size=10\nContent-Language: en, de-DE\nContent-Location: http://x/y\n\nx\n")
case("content without type", b"Content-ID: <id@x>\nContent-Transfer-Encoding: base64\nContent-Disposition: inline\n\nx\n")
case("content without type, mime", b"Mime-Version: 1.0\nContent-ID: <id@x>\nContent-Transfer-Encoding: base64\nContent-Disposition: inline\n\nx\n")

for i, v in enumerate([b"text", b"text/", b"text;", b"/plain", b"text/plain/x", b"text/plain x", b"text plain", b"text/ plain (c) ; (d) charset (e) = (f) utf-8 (g)",
                       b"text/plain; charset", b"text/plain; charset=", b"text/plain; charset=;format=flowed", b"text/plain; ; charset=utf-8", b"text/plain;charset=utf-8;",
                       b"text/plain; charset=\"utf-8", b"text/plain; name=a b c; x=y", b"text/plain; name=a/b; x=y", b"text/plain; name=a@b; x=y", b"text/plain; =x; a=b",
                       b"application/x; name*=utf-8''a%20b", b"application/x; name*0=a; name*1=b; x=y", b"application/x; name*1=b; name*0=a; x=y", b"application/x; name*0*=utf-8''a%20; name*1=\"b c\"; x=y",
                       b"application/x; name*1=b; name*2=c; x=y", b"application/x; name*0=a; name*2=c", b"application/x; b*0=1; a*0=2; z=3; b*1=4; a*1=5", b"application/x; name*=a; name=b", b"application/x; *0=a; n*x=b; n*01=c; m**=d; n*0x=e",
                       b"application/x; name*0*=a%; name*1*=b; name*2=\"%\xfc'*\"", b"text/plain; NAME*0=a; name*1=b", b"application/x; n*10=k; n*0=0; n*1=1; n*2=2; n*3=3; n*4=4; n*5=5; n*6=6; n*7=7; n*8=8; n*9=9",
                       b"message/rfc822", b"message/rfc822; x", b"message/rfc822 x", b"message/delivery-status", b"message/partial; id=1", b"message/global", b"message/external-body; access-type=x", b"TEXT/HTML; CHARSET=UTF-8; Charset=x",
                       b"text/plain; charset=\"a\\\"b\"; x=\"\"", b"te\xfct/pl\xe4in; n=\xfc", b"textual/plain", b"multipart/mixed", b"multipart/mixed; boundary=", b"multipart/mixed; boundary=\"\"", b"multipart; boundary=x", b"multipart/; boundary=x",
                       b"multipart/mixed; boundary=\"un", b"multipart/mixed x; boundary=b", b"application/octet-stream; name=\"a\n b\"", b"(c) text/plain", b"text(/plain", b"text/plain (c", b"text/plain; a=\"b\" c; d=e", b"text/plain; a=b (c; d=e", b"message/rfc822/x", b"text/plain,x; a=b", b"text/plain;charset=us-ascii;a==b", b"text/x.y+z; a.b=c.d", b"text/plain; a=[b]; c=d", b"text/plain; a='b c'; c=d", b"text\x00/plain; a=b\x00c", b"text/plain; a=\"b\x00c\""]):
    case("type %d" % i, b"From: a@b\nContent-Type: " + v + b"\n\nSubject: in\n\nbody\n")
for i, v in enumerate([b"inline", b"attachment; filename=x.txt", b"attachment; filename*=utf-8''%e2", b"attachment; filename=a b.txt", b"attach ment; a=b", b"; a=b", b"\"inline\"; a=b", b"attachment filename=x", b"in/line; a=b", b"(c)inline(d);a=b", b"attachment; filename=\"a\xfc.txt\""]):
    case("disposition %d" % i, b"From: a@b\nMime-Version: 1.0\nContent-Disposition: " + v + b"\n\nx\n")
for i, v in enumerate([b"8bit", b"8bit; x", b"8bit x", b"\"8bit\"", b"base64 (c)", b"(c) base64", b"7bit (c", b"X-uu", b"quoted-printable,", b"b\xe4se", b"64/base"]):
    case("encoding %d" % i, b"From: a@b\nMime-Version: 1.0\nContent-Transfer-Encoding: " + v + b"\n\nx\n")
for i, v in enumerate([b"en", b"en,de", b"en, de , fr (x)", b"en de", b",en", b"en,", b"en,,de", b"\"en\"", b"en;de", b"e\xfc"]):
    case("language %d" % i, b"From: a@b\nMime-Version: 1.0\nContent-Language: " + v + b"\n\nx\n")
case("unstructured", b"Mime-Version: 1.0\nContent-ID:   <a (c) b>  \nContent-Description: a\n\tb\n  c \nContent-MD5: \"q\" \nContent-Location: http://x/\n y\n\nx\n")

for i, v in enumerate([b"a@b", b"<a@b>", b"Name <a@b>", b"\"Quoted N\" <a@b>", b"a@b (Comment)", b"(Comment) a@b", b"(c1) a@b (c2)", b"Na (c) me <a@b> (d)", b"A. B. Cee <a@b>", b"A.B <a@b>", b"=?x?q?y?= <a@b>",
                       b"a", b"a b", b"a b <c", b"<a>", b"<>", b"<@>", b"<a@>", b"<@b>", b"@b", b"a@", b"a@b@c", b"a@@b", b"<a@b@c>", b"a@b, c@d", b"a@b,", b",a@b", b"a@b,,c@d", b", ,a@b, ,", b"a@b c@d", b"a@b; c@d", b"a@b <c@d>",
                       b"\"a b\"@c", b"\"a\\\"b\"@c", b"\"a\".b@c", b"a.\"b\"@c", b"a . b @ c . d", b"a..b@c", b".a@b", b"a.@b", b"a@.b", b"a@b.", b"a@[1.2.3.4]", b"a@[IPv6:::1]", b"a@[1 2]", b"a@[1\\]2]", b"a@[1[2]", b"a@[1", b"<a@[1.2.3.4]>",
                       b"<@r1:a@b>", b"<@r1,@r2:a@b>", b"N <@r1 , , @r2 : a@b>", b"<@r1 a@b>", b"<@r1>", b"<@r1,:a@b>", b"g:;", b"g: a@b;", b"g: a@b, N <c@d>;", b"g: a@b", b"g:", b"g", b"g:a@b;, c@d", b"g:;,h:;", b"g: a@b; c@d", b"g one two: ;", b"\"g q\": a@b;", b"undisclosed-recipients:;",
                       b"g: h: a@b;;", b"g:,;", b"g:a@b,;", b"g:,a@b;", b"g:<>;", b":;", b";", b"<", b">", b"<<a@b>>", b"\"unclosed <a@b>", b"\"only\"", b"\"only\" x", b"N <a@b> garbage, c@d", b"N <a@b> garbage", b"N <a b@c>, d@e", b"N <a@b c>, d@e", b"N <a@b, d@e", b"(unclosed a@b", b"a@b (unclosed", b"a (c) @ (d) b (e)", b"((n)e(s)t) a@b", b"a@b (a (nested) \\) b)",
                       b"a@b ()", b"a@b (x)(y)", b"a@b (x\n y)", b"\"a\n b\" <c@d>", b"A\n B <c@d>", b"a@b\n , c@d", b"\\a <b@c>", b"a\\b@c", b"N [x] <a@b>", b"N@x <a@b>", b"a:b@c", b"a!b%c@d", b"a/b=c@d", b"a'b@c", b"<mailto:a@b>", b"mailto:a@b", b"\"\" <a@b>", b"<\"\"@b>", b"\"\"@b", b"N <>", b"N <a>", b"N", b"N,", b"  ", b"N <a@b>, M", b"N; M", b"a@b:c", b"g:a@b,c", b"\"x\" \"y\" z <a@b>", b"\"x\"y<a@b>", b"x.\"y\" <a@b>", b". <a@b>", b"x . y <a@b>", b"x\t \ty <a@b>", b"a\x7f@b", b"a\x01b@c", b"a @b", b"a@ b", b"a@b.c (x) , d@e (y)", b"<a@b> (x)", b"(x) <a@b>", b"(x)", b"(x),a@b", b"a@b,(x)", b"<a@b>,(x)", b"\"a@b\" <c@d>", b"a@b <a@b>", b"'a@b' <a@b>", b"'a@b'", b"[a@b]", b"a@b.c.", b"N<a@b>", b"<a@b>N", b"<a@b><c@d>", b"a,b,c", b"Doe, John <a@b>", b"<a@b", b"<a", b"N <a@b>;", b"g: a@b;;", b"g: N <a@b> x; c@d", b"g: a@b c; d@e", b"g: \"u; d@e", b"a@b,\"", b"a@b,(", b"a@b,<", b"<\"a b\"@c>", b"\"a\\b\" <c@d>", b"\"a\\\n b\" <c@d>", b"a@b (\\\n x)",
                       b"a@[x]y", b"a@b[c]", b"a@\"b\"", b"<a@\"b\">", b"a.(c)b@d", b"<a(c)@b>", b"\"a\\", b"(a\\", b"a@[b\\", b"<@a:@b:c@d>", b"<@a;c@d>", b"<:a@b>", b"a@b,c d,e@f", b"a@b,@,c@d", b"a@b,.,c@d", b"<.@b>", b"N <.a@b>, c@d", b"N <\"a@b>, c@d"]):
    case("address %d" % i, b"Sender: s@t\nFrom: " + v + b"\n\nx\n")
case("address twice", b"To: a@b\nTo: g: x@y;\nCc: N\nCc: c@d\nReply-To: \nSender: \nFrom: f@g\n\n")

case("multipart", mixed(T, T, pre=b"preamble\n", epi=b"epilogue\n"), SECTS)
case("multipart crlf", mixed(T, T, pre=b"preamble\n", epi=b"epilogue\n").replace(b"\n", b"\r\n"), SECTS)
case("multipart no parts", mixed(end=False), SECTS)
case("multipart no parts, end", mixed(), SECTS)
case("multipart preamble only", mixed(end=False, pre=b"x\ny\n"), SECTS)
case("multipart no boundary", H + b"Content-Type: multipart/mixed\nContent-ID: x\n\n--b\n\nx\n--b--\n", ["1", "1.MIME"])
case("multipart no boundary in part", mixed(b"Content-Type: multipart/alternative\nContent-ID: x\n\n--c\n\nx\n--c--\n"), SECTS)
case("multipart no end", mixed(T, T, end=False), SECTS)
case("multipart no end, no newline", mixed(T, T, end=False)[:-1], SECTS)
case("multipart no last newline", mixed(T, T)[:-1], ["1", "2", "3"])
case("part without header", mixed(b"\nno header\n", b"\n"), SECTS)
case("part without anything", mixed(b"", b"", b""), SECTS)
case("part without blank line", mixed(b"Content-Type: text/html", b"Content-Type: text/css\nX: y", b"plain text"), SECTS)
case("part ends at once", H + b"Content-Type: multipart/mixed; boundary=b\n\n--b\n--b\n\n--b\n\n\n--b--\n", ["1", "2", "3", "1.MIME", "2.MIME"])
case("boundary trailing space", H + b"Content-Type: multipart/mixed; boundary=b\n\n--b  \n\none\n--b\t\n\ntwo\n--b-- \nepi\n", ["1", "2"])
case("boundary trailing text", H + b"Content-Type: multipart/mixed; boundary=b\n\n--bxx\n\none\n--b-x\n\ntwo\n--b--x\nepi\n", ["1", "2"])
case("boundary not at line start", mixed(b"\n --b\nx--b\n"), ["1", "2"])
case("boundary with space", mixed(b"\none\n", b=b"a b"), ["1"])
case("boundary ends in space", mixed(b"\none\n", b=b"a b "), ["1"])
case("boundary long", mixed(b"\none\n", b=b"x" * 200), ["1"])
case("boundary 79", mixed(b"\none\n", b=b"x" * 79), ["1"])
case("boundary 80", mixed(b"\none\n", b=b"x" * 80), ["1"])
case("boundary 81", mixed(b"\none\n", b=b"x" * 81), ["1"])
case("boundary dashes", mixed(b"\none\n", b=b"--"), ["1"])
case("boundary ends in dashes", mixed(b"\none\n", b"\ntwo\n", b=b"b--"), ["1"])
case("boundary 8bit", mixed(b"\none\n", b=b"\xfc"), ["1"])
case("boundary twice", H + b"Content-Type: multipart/mixed; boundary=b; boundary=c\n\n--b\n\none\n--b\n\n--c\n\ntwo\n--b--\n", ["1"])
case("boundary rfc2231", H + b"Content-Type: multipart/mixed; boundary*0=b; boundary*1=c\n\n--bc\n\none\n--bc--\n", ["1"])
case("boundary rfc2231 extended", H + b"Content-Type: multipart/mixed; boundary*=us-ascii''bc\n\n--bc\n\none\n--bc--\n", ["1"])
case("boundary in preamble", mixed(T, pre=b"--bogus\n--b\nb\n"), SECTS)


def inner(kind, b, *parts, end=True):
    m = b"Content-Type: multipart/" + kind + b'; boundary="' + b + b'"\n\n'
    for p in parts:
        m += b"--" + b + b"\n" + p + b"\n"
    return m + (b"--" + b + b"--\n" if end else b"")


case("nested", mixed(inner(b"alternative", b"c", T, T), T), SECTS)
case("nested no end", mixed(inner(b"alternative", b"c", T, T, end=False), T), SECTS)
case("nested prefix", mixed(inner(b"alternative", b"bb", T, T), T), SECTS)
case("nested prefix other way", mixed(inner(b"alternative", b"b", T, T), T, b=b"bb"), SECTS)
case("nested prefix no end", mixed(inner(b"alternative", b"bb", T, T, end=False), T), SECTS)
case("nested same", mixed(inner(b"alternative", b"b", T, T), T), SECTS)
case("nested dashes", mixed(inner(b"alternative", b"b--", T, T), T), SECTS)
case("nested reopened after end", mixed(inner(b"alternative", b"c", T) + b"--c\n\nnot a part\n", T), SECTS)
case("end twice", mixed(T, epi=b"--b\n\nx\n--b--\n"), SECTS)
case("nested empty", mixed(inner(b"alternative", b"c"), inner(b"alternative", b"d", end=False)), SECTS)
case("digest", H + b"Content-Type: multipart/digest; boundary=b\n\n--b\n\n" + INNER + b"\nx\n--b\nContent-Type: text/plain\n\ny\n--b\nContent-ID: x\n\n" + INNER + b"\nz\n--b--\n", SECTS)
case("digest bad child", H + b"Content-Type: multipart/digest; boundary=b\n\n--b\nContent-Type: multipart/mixed\n\n" + INNER + b"\nx\n--b--\n", SECTS)
case("rfc822", H + RFC.rstrip(b"\n") + b"\n\n" + INNER + b"\nbody\n", SECTS)
case("rfc822 in multipart", mixed(T, RFC + INNER + b"\nbody\nbody\n", T), SECTS)
case("rfc822 multipart", mixed(T, RFC + INNER + inner(b"alternative", b"c", T, T), T), SECTS)
case("rfc822 multipart crlf", mixed(T, RFC + INNER + inner(b"alternative", b"c", T, T), T).replace(b"\n", b"\r\n"), SECTS)
case("rfc822 multipart no end", mixed(T, RFC + INNER + inner(b"alternative", b"c", T, T, end=False), T), SECTS)
case("rfc822 multipart empty", mixed(T, RFC + INNER + inner(b"alternative", b"c"), T), SECTS)
case("rfc822 empty", mixed(T, RFC, T), SECTS)
case("rfc822 no blank", mixed(T, b"Content-Type: message/rfc822", T), SECTS)
case("rfc822 header only", mixed(T, RFC + INNER, T), SECTS)
case("rfc822 header only, no newline", mixed(T, RFC + INNER[:-1], T), SECTS)
case("rfc822 empty, last", H + RFC, SECTS)
case("rfc822 nested", mixed(T, RFC + INNER + RFC + b"Subject: third\n" + b"\ndeep\n"), SECTS)
case("rfc822 base64", H + b"Content-Type: message/rfc822\nContent-Transfer-Encoding: base64\n\nRnJvbTogYUBi\n", SECTS)
case("rfc822 no inner header", mixed(T, RFC + b"\nbody\n"), SECTS)
case("rfc822 inner mime without from", mixed(T, RFC + b"Content-Type: text/html\n\nbody\n"), SECTS)
case("multipart root in rfc822 root", H + RFC.rstrip(b"\n") + b"\n\n" + mixed(T, T), SECTS)
case("nul in multipart", mixed(b"Content-Type: text/\x00\n\na\x00b\n"), SECTS)
case("boundary in header", H + b"Content-Type: multipart/mixed; boundary=b\nX: y\n--b\nZ: z\n\n--b\n\nx\n--b--\n", ["1"])
case("boundary crosses long line", mixed(b"\n" + b"y" * 9000 + b"\n"), ["1]<8990.100>"])


def deep(n, kind):
    if kind == "rfc822":
        return H + b"".join(RFC for _ in range(n)) + b"Subject: end\n\nx\n"
    return H + b"".join(b'Content-Type: multipart/mixed; boundary="%d."\n\n--%d.\n' % (i, i) for i in range(n)) + b"\nx\n"


for n in (98, 99, 100, 101, 102, 103):
    case("depth %d" % n, deep(n, "mixed"))
    case("depth rfc822 %d" % n, deep(n, "rfc822"))


def fetch(box, message, items):
    for d in ("cur", "new", "tmp"):
        os.makedirs(os.path.join(box, d))
    with open(os.path.join(box, "cur", "1000000000.M1.host:2,S"), "wb") as f:
        f.write(message)
    subprocess.run(["chown", "-R", "nobody:", box], check=True)
    talk = b"a SELECT INBOX\r\n" + b"".join(b"f FETCH 1 %s\r\n" % tidy(q).encode() for q in items) + b"z LOGOUT\r\n"
    env = {"MAIL": "maildir:" + box, "HOME": box, "USER": "nobody", "PATH": os.environ["PATH"]}
    conf = os.path.join(os.path.dirname(box), "dovecot.conf")
    out = subprocess.run(["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "/usr/lib/dovecot/imap", "-c", conf],
                         input=talk, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=env, timeout=60).stdout
    return answers(out, items)


def tidy(q):
    """BODY.PEEK[X]<0.1>] stands for BODY.PEEK[X]<0.1>."""
    return q[:-1] if ">]" in q else q


def responses(out):
    """Splits what the server said into responses, literals included."""
    i = 0
    while i < len(out):
        end = i
        while True:
            end = out.index(b"\r\n", end) + 2
            m = re.search(rb"\{(\d+)\}\r\n$", out[i:end])
            if m is None:
                break
            end += int(m[1])
        yield out[i:end - 2]
        i = end


def answers(out, items):
    """The untagged answers come in the order of the commands, one for each that is answered OK."""
    said = list(responses(out))
    data = [r[11:-1].decode("latin-1") for r in said if r.startswith(b"* 1 FETCH (")]
    done = [r[2:].decode("latin-1") for r in said if r.startswith(b"f ")]
    got = {}
    for q, d in zip(items, done):
        got[tidy(q)] = data.pop(0) if d.startswith("OK") else d.split(" (0")[0]
    return got


def main():
    top = tempfile.mkdtemp()
    os.chmod(top, 0o755)
    with open(os.path.join(top, "dovecot.conf"), "w") as f:
        f.write("protocols = imap\nbase_dir = %s/run\nmail_location = maildir:~\nlog_path = /dev/null\nssl = no\n" % top)
    result = []
    for i, (name, message, items) in enumerate(CASES):
        box = os.path.join(top, "box%d" % i)
        result.append({"name": name, "message": message.decode("latin-1"), "answers": fetch(box, message, items)})
        shutil.rmtree(box)
    shutil.rmtree(top)
    with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "dovecot.json"), "w") as f:
        json.dump(result, f, indent=1)
        f.write("\n")


if __name__ == "__main__":
    main()
