//go:build interop

package interop

import (
	"fmt"
	"os/exec"
	"strings"

	"postrider/test/suite"
)

func readWithCurl(a *account) {
	t := a.t
	curl := need(t, "curl", "curl")
	attempt := func(service, path string, args ...string) (string, error) {
		if service == "imap" || service == "pop3" {
			args = append(args, "--ssl-reqd")
		}
		return run(t, exec.Command(curl, append([]string{"-sS", "--max-time", "30", "--cacert", a.ca, service + "://" + a.at(service) + "/" + path}, args...)...))
	}
	login := []string{"-u", a.user + ":" + suite.Password}
	does := func(service, path string, args ...string) string {
		t.Helper()
		out, err := attempt(service, path, append(args, login...)...)
		if err != nil {
			t.Fatalf("%s %s %q: %v\n%s", service, path, args, err, out)
		}
		return out
	}
	texts := a.seed(8)

	for _, service := range []string{"imap", "imaps"} {
		contains(t, does(service, ""), "* LIST (", "INBOX", "Drafts", "Sent")
		contains(t, does(service, "", "-X", "EXAMINE INBOX"), "* 8 EXISTS")
		for i, text := range texts {
			if got := does(service, fmt.Sprintf("INBOX;MAILINDEX=%d", i+1)); got != text {
				t.Errorf("%s: message %d is %q, not %q", service, i+1, got, text)
			}
		}
		if got := does(service, "INBOX;MAILINDEX=4;SECTION=TEXT"); "\r\n"+got != strings.SplitAfterN(texts[3], "\r\n", 6)[5] {
			t.Errorf("%s: the text is %q", service, got)
		}
		contains(t, does(service, "INBOX?SUBJECT%20%22seed%205.%22"), "* SEARCH 6\r\n")
		contains(t, does(service, "INBOX?ALL"), "* SEARCH 1 2 3 4 5 6 7 8\r\n")
	}
	for _, options := range [][]string{{"AUTH=PLAIN"}, {"AUTH=LOGIN"}, {"AUTH=PLAIN", "--sasl-ir"}, {"AUTH=LOGIN", "--sasl-ir"}} {
		contains(t, does("imaps", "", append([]string{"-X", "STATUS INBOX (MESSAGES)", "--login-options"}, options...)...), "(MESSAGES 8)")
		contains(t, does("pop3s", "", append([]string{"--login-options"}, options...)...), "8 ")
	}
	for _, service := range []string{"imaps", "pop3s"} {
		if out, err := attempt(service, "", "-u", a.user+":wrong"); err == nil || !strings.Contains(strings.ToLower(out), "login denied") {
			t.Errorf("%s: a wrong password: %v %s", service, err, out)
		}
	}

	uploaded := seedMessage(100)
	does("imaps", "", "-X", "CREATE Uploads")
	file := t.TempDir() + "/message"
	must(t, writeFile(file, uploaded))
	does("imaps", "Uploads", "-T", file)
	a.has("Uploads", uploaded, "S") // curl says so

	does("imaps", "INBOX", "-X", `STORE 1 +Flags \Deleted`) // without parentheses
	a.has("", texts[0], "ST")
	contains(t, does("imaps", "INBOX", "-X", "EXPUNGE"), "* 1 EXPUNGE")
	a.gone("", texts[0])
	does("imaps", "INBOX", "-X", "COPY 1 Uploads")
	a.has("Uploads", texts[1], "S")
	does("imaps", "", "-X", "DELETE Uploads")
	if len(a.mails("Uploads")) != 0 {
		t.Error("the folder is there")
	}
	readPOP3WithCurl(a, does, texts[1:])
}

func readPOP3WithCurl(a *account, does func(service, path string, args ...string) string, texts []string) {
	t := a.t
	uids := strings.Fields(does("pop3s", "", "-X", "UIDL"))
	if len(uids) != 2*len(texts) {
		t.Errorf("UIDL: %q", uids)
	}
	for _, service := range []string{"pop3", "pop3s"} {
		list := strings.Split(strings.TrimSpace(does(service, "")), "\r\n")
		for i, text := range texts {
			if want := fmt.Sprint(i+1, " ", len(text)); i >= len(list) || list[i] != want {
				t.Errorf("%s: LIST says %q, not %q", service, list, want)
			}
			if got := does(service, fmt.Sprint(i+1)); got != text {
				t.Errorf("%s: message %d is %q, not %q", service, i+1, got, text)
			}
		}
	}
	does("pop3s", "", "-X", "DELE 2", "-I")
	a.gone("", texts[1])
	a.count("", len(texts)-1)
	if left := strings.Fields(does("pop3s", "", "-X", "UIDL")); len(left) != len(uids)-2 || left[1] != uids[1] || left[3] != uids[5] {
		t.Errorf("UIDL: %q, before %q", left, uids)
	}
}
