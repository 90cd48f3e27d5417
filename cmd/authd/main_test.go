package main

import (
	"strings"
	"testing"

	"postrider/internal/logline"
)

func TestReport(t *testing.T) {
	t.Parallel()
	const warning, info = `"level":4`, `"level":6`
	for note, level := range map[string]string{
		"files are not confined: landlock: function not implemented":     warning,
		"truncation of files is not confined: kernel before 6.2":         info,
		"not within reach: open /etc/nowhere: no such file or directory": info,
	} {
		var b strings.Builder
		report([]string{note}, logline.NewWriter(&b, "authd", logline.JSON))
		if !strings.Contains(b.String(), note) || !strings.Contains(b.String(), level) {
			t.Errorf("%s: %s", note, b.String())
		}
	}
}
