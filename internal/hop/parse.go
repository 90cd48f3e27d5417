package hop

import (
	"errors"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"postrider/internal/address"
	"postrider/internal/reply"
)

// Bounds of what Parse reads, in octets.
const (
	maxHop  = 1000
	maxText = 900 // of an error, which String writes with a longer word before it
	maxPath = 107 // sockaddr_un
)

// kinds are the words before the first colon. The aliases are Postfix's transports.
var kinds = map[string]Kind{
	"smtp": SMTP, "relay": SMTP, "smtps": SMTPS, "lmtp": LMTP, "error": Error, "retry": Error, "discard": Discard,
}

// services are names that ports go by (services(5)).
var services = map[string]int{"smtp": 25, "lmtp": 24, "submission": 587, "submissions": 465, "smtps": 465}

// Parse reads a hop as Postfix's transport(5) writes it:
//
//	example.org  smtp:example.org  relay:example.org:587     by MX, whatever the port
//	[gw.example.net]  smtp:[gw.example.net]:2525             this host, no MX
//	[192.0.2.1]  [2001:db8::1]:25  [IPv6:2001:db8::1]:25     this address
//	smtps:gw.example.net  lmtp:gw.example.net:24             this host; only SMTP knows MX
//	lmtp:unix:/run/dovecot/lmtp  lmtp:inet:localhost:24
//	error:5.7.1 text  error:text  retry:text  discard:
func Parse(s string) (Hop, error) {
	s = strings.TrimSpace(s)
	switch {
	case s == "":
		return Hop{}, errors.New("empty hop")
	case len(s) > maxHop:
		return Hop{}, fmt.Errorf("hop longer than %d octets", maxHop)
	case !utf8.ValidString(s) || reply.Clean(s) != s || strings.Contains(s, "\n"):
		return Hop{}, fmt.Errorf("control character or invalid UTF-8 in %.80q", s)
	}
	word, rest := "smtp", s
	if before, after, ok := strings.Cut(s, ":"); ok && before != "" && !strings.Contains(before, "[") {
		if _, known := kinds[before]; known {
			word, rest = before, after
		} else if _, err := port(after); err != nil {
			return Hop{}, fmt.Errorf("%.80q is neither a transport nor a host with its port", before)
		}
	}
	switch kind := kinds[word]; kind {
	case Error:
		return parseError(word, strings.TrimSpace(rest))
	case Discard:
		return Hop{Kind: Discard}, nil
	default:
		return parseHost(kind, rest)
	}
}

// parseHost reads what follows smtp, smtps or lmtp.
func parseHost(kind Kind, s string) (Hop, error) {
	if kind == LMTP {
		if path, ok := strings.CutPrefix(s, "unix:"); ok {
			return parseSocket(path)
		}
		s = strings.TrimPrefix(s, "inet:")
	}
	h := Hop{Kind: kind}
	host, number, ok := cutPort(s)
	if ok {
		var err error
		if h.Port, err = port(number); err != nil {
			return Hop{}, err
		}
	}
	if kind == SMTPS && h.Port == PortSMTPS || kind == LMTP && h.Port == PortLMTP {
		h.Port = 0
	}
	if ip, ok := literal(host); ok {
		h.Host = ip.String()
		return h, nil
	}
	bare, bracketed := host, false
	if strings.HasPrefix(host, "[") && strings.HasSuffix(host, "]") {
		bare, bracketed = host[1:len(host)-1], true
	}
	var err error
	if h.Host, err = name(bare); err != nil {
		return Hop{}, err
	}
	h.ByMX = kind == SMTP && !bracketed
	return h, nil
}

func parseSocket(path string) (Hop, error) {
	switch {
	case !filepath.IsAbs(path):
		return Hop{}, fmt.Errorf("lmtp:unix: needs an absolute path, not %.80q", path)
	case strings.ContainsFunc(path, unicode.IsSpace):
		return Hop{}, fmt.Errorf("white space in the path %.80q", path)
	case len(path) > maxPath:
		return Hop{}, fmt.Errorf("path of a socket longer than %d octets", maxPath)
	}
	return Hop{Kind: LMTP, Path: filepath.Clean(path)}, nil
}

// cutPort cuts `host:port` and `[host]:port`.
func cutPort(s string) (host, port string, ok bool) {
	if end := strings.LastIndexByte(s, ']'); end >= 0 {
		port, ok = strings.CutPrefix(s[end+1:], ":")
		if ok {
			return s[:end+1], port, true
		}
		return s, "", false
	}
	return strings.Cut(s, ":")
}

func port(s string) (int, error) {
	if n, ok := services[s]; ok {
		return n, nil
	}
	n, err := strconv.ParseUint(s, 10, 16)
	if err != nil || n == 0 {
		return 0, fmt.Errorf("%.80q is not a port", s)
	}
	return int(n), nil
}

// name checks the name of a host or domain. An IP address is none: without brackets it would be looked up in the DNS.
func name(s string) (string, error) {
	if s == "" {
		return "", errors.New("no host")
	}
	if strings.HasPrefix(s, "[") {
		return "", fmt.Errorf("%.80q is not a host", s)
	}
	if _, ok := literal("[" + s + "]"); ok {
		return "", fmt.Errorf("write the address %s in brackets", s)
	}
	domain, err := address.Domain(strings.TrimSuffix(s, "."))
	if err != nil {
		return "", err
	}
	if last := domain[strings.LastIndexByte(domain, '.')+1:]; strings.Trim(last, "0123456789") == "" {
		return "", fmt.Errorf("%.80q is no name of a host", s)
	}
	return domain, nil
}

// parseError reads the text of error: and retry:, which may begin with an enhanced status code.
func parseError(word, text string) (Hop, error) {
	r := &reply.Reply{Code: 550, Enhanced: reply.Enhanced{5, 0, 0}}
	if word == "retry" {
		r = &reply.Reply{Code: 450, Enhanced: reply.Enhanced{4, 0, 0}}
	}
	if e, rest, ok := cutEnhanced(text); ok {
		if word == "retry" && e[0] != 4 {
			return Hop{}, fmt.Errorf("retry: %d.%d.%d is not temporary", e[0], e[1], e[2])
		}
		r.Code, r.Enhanced, text = e[0]*100+50, e, rest
	}
	switch {
	case text == "":
		return Hop{}, fmt.Errorf("%s: needs a text for the sender", word)
	case len(text) > maxText:
		return Hop{}, fmt.Errorf("%s: text longer than %d octets", word, maxText)
	}
	r.Text = text
	return Hop{Kind: Error, Reply: r}, nil
}

// cutEnhanced reads an enhanced status code of a failure and the blanks after it (RFC 3463 §2).
func cutEnhanced(s string) (e reply.Enhanced, rest string, ok bool) {
	word, rest, _ := strings.Cut(s, " ")
	parts := strings.Split(word, ".")
	if len(parts) != 3 || parts[0] != "4" && parts[0] != "5" {
		return e, s, false
	}
	for i, part := range parts {
		n, err := strconv.ParseUint(part, 10, 16)
		if err != nil || n > 999 {
			return e, s, false
		}
		e[i] = int(n)
	}
	return e, strings.TrimSpace(rest), true
}
