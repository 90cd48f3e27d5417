package mailbox

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"postrider/internal/reply"
)

// progress draws a bar on a terminal; elsewhere it is silent.
type progress struct {
	w           io.Writer // nil = nobody looks
	what        string
	done, total int64
	drawn       time.Time
	visible     bool
}

// barWidth and drawEvery say how the bar looks, and how often it moves.
const (
	barWidth  = 30
	drawEvery = 100 * time.Millisecond
)

func newProgress(w io.Writer) *progress {
	f, ok := w.(*os.File)
	if !ok {
		return &progress{}
	}
	if _, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS); err != nil {
		return &progress{}
	}
	return &progress{w: w}
}

// begin is for something of which there is so much.
func (p *progress) begin(what string, total int64) {
	p.what, p.done, p.total, p.drawn = reply.Clean(what), 0, total, time.Time{}
}

// at says how much has been done.
func (p *progress) at(done int64) {
	p.done = min(done, p.total)
	if p.w == nil || time.Since(p.drawn) < drawEvery {
		return
	}
	p.drawn, p.visible = time.Now(), true
	full, percent := 0, int64(100)
	if p.total > 0 {
		full, percent = int(barWidth*p.done/p.total), 100*p.done/p.total
	}
	fmt.Fprintf(p.w, "\r[%s%s] %3d%% %.40s\x1b[K", strings.Repeat("#", full), strings.Repeat(".", barWidth-full), percent, p.what)
}

// clear takes the bar away, so that a line can be written.
func (p *progress) clear() {
	if p.visible {
		io.WriteString(p.w, "\r\x1b[K")
		p.visible = false
	}
}
