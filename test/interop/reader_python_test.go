//go:build interop

package interop

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"postrider/test/suite"
)

// wireFiles writes messages to files 0, 1, ….
func wireFiles(t *testing.T, texts []string) string {
	t.Helper()
	dir := t.TempDir()
	for i, text := range texts {
		must(t, writeFile(fmt.Sprint(dir, "/", i), text))
	}
	return dir
}

func readWithImaplib(a *account) {
	t := a.t
	python := need(t, "python3", "python3")
	texts := a.seed(8)
	runs(t, "", python, "readers/imap.py", a.port("imap"), a.port("imaps"), a.ca, a.user, suite.Password, wireFiles(t, texts))

	// What it leaves.
	a.has("Kept", texts[2], "RSa") // $Forwarded is the folder's first keyword
	a.has("Kept", texts[5], "F")
	a.has("Kept", "Subject: no end of line\r\n\r\nlast", "D")
	a.count("Kept", 3)
	a.has("", texts[0], "FRSa")
	a.gone("", texts[1])
	a.gone("", texts[6])
	a.has("", texts[2], "S")
	a.has("", texts[7], "")
	a.count("", 6)
	a.has("Copies", texts[6], "")
	a.count("Copies", 1)
	if i, err := os.Stat(a.dir("Kept.Unsubscribed") + "/cur"); err != nil || !i.IsDir() {
		t.Error(err)
	}
	folders := a.folders()
	slices.Sort(folders)
	if want := []string{"Copies", "Kept", "Kept.Unsubscribed"}; !containsAll(folders, want) || strings.Contains(fmt.Sprint(folders), "&") {
		t.Errorf("folders: %q", folders)
	}
	if subscribed := strings.Fields(readFile(t, a.dir("")+"/subscriptions")); !slices.Contains(subscribed, "Kept") || slices.Contains(subscribed, "Copies") || strings.Contains(fmt.Sprint(subscribed), "Unsubscribed") {
		t.Errorf("subscriptions: %q", subscribed)
	}
	contains(t, readFile(t, a.dir("Kept")+"/dovecot-keywords"), "0 $Forwarded\n")
}

func containsAll(all, some []string) bool {
	return !slices.ContainsFunc(some, func(s string) bool { return !slices.Contains(all, s) })
}

func readWithPoplib(a *account) {
	t := a.t
	python := need(t, "python3", "python3")
	texts := a.seed(8)
	runs(t, "", python, "readers/pop3.py", a.port("pop3"), a.port("pop3s"), a.port("imaps"), a.ca, a.user, suite.Password, wireFiles(t, texts))
	a.gone("", texts[1])
	a.gone("", texts[7])
	a.has("", texts[0], "S") // RETR reads it
	a.count("", 6)
}
