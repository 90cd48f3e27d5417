package relayd

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// chance is a source of accidents that many may ask.
type chance struct {
	mu sync.Mutex
	r  *rand.Rand
}

func (c *chance) n(n int) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.r.IntN(n)
}

// bad is a host with bad days: it has trouble of all kinds, but never takes a message and then does not say so.
func (c *chance) bad(rarely int) func(d *dialogue, command string) string {
	return func(d *dialogue, command string) string {
		if c.n(3) == 0 {
			time.Sleep(time.Duration(c.n(20_000)) * time.Millisecond)
		}
		if c.n(rarely) > 0 {
			return ""
		}
		verb, _, _ := strings.Cut(command, " ")
		list := []string{"close", "421 4.3.2 busy", "451 4.3.0 later", "hang", "garbage"}
		switch verb {
		case "RCPT":
			list = append(list, "550 5.1.1 who", "452 4.5.3 too many recipients", "452 4.5.3 too many recipients")
		case "end", "DATA":
			list = append(list, "554 5.6.0 no")
		case "RSET", "QUIT":
			list = list[:2]
		}
		return list[c.n(len(list))]
	}
}

// TestChaos: whatever hosts do, whenever the process ends and begins again, each recipient gets one copy, or his sender one report.
func TestChaos(t *testing.T) {
	t.Parallel()
	for seed := range uint64(4) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			bubble(t, func(w *world) { chaos(w, &chance{r: rand.New(rand.NewPCG(seed, 2))}) })
		})
	}
}

func chaos(w *world, c *chance) {
	const hosts, domains, steps = 8, 12, 12
	for i := range domains {
		var list []string
		for range 1 + c.n(3) {
			list = append(list, fmt.Sprintf("h%d", c.n(hosts)))
		}
		w.mx(fmt.Sprintf("d%d.example", i), list...)
	}
	w.route("d0.example", "lmtp:unix:/run/lmtp")
	w.route("d1.example", "[h1]")
	names := []string{"/run/lmtp"}
	for i := range hosts {
		names = append(names, fmt.Sprintf("h%d", i))
	}
	w.cfg.Relayd.MaxConnections, w.cfg.Relayd.MaxRecipients, w.cfg.Relayd.MaxReuse = 6, 4, 5
	sent := make(map[string]bool) // "tag address"
	w.run()
	for range steps {
		for _, name := range names {
			p := w.peer(name)
			p.on(c.bad(3 + c.n(30)))
			p.refuse(nil)
			if c.n(4) == 0 {
				p.refuse(func(ctx context.Context, t Target) error {
					if c.n(2) == 0 {
						return blackHole(ctx, t)
					}
					return syscall.ECONNREFUSED
				})
			}
		}
		for range c.n(12) {
			tag, to := fmt.Sprintf("tag%d.", len(sent)), []string{}
			for i := range 1 + c.n(9) {
				to = append(to, fmt.Sprintf("u%d@d%d.example", i, c.n(domains)))
				sent[tag+" "+to[i]] = true
			}
			w.queueBody("X-Tag: "+tag+"\r\n\r\nText\r\n", nil, to...)
		}
		w.sleep(time.Duration(c.n(2000)) * time.Second)
		switch c.n(4) {
		case 0:
			w.stop()
			w.run()
		case 1:
			w.manager.Revive(nil)
			w.manager.Schedule().Flush(nil)
		case 2:
			w.configure()
		}
	}
	for _, name := range names {
		w.peer(name).on(nil)
		w.peer(name).refuse(nil)
	}
	w.gone(12 * time.Hour)
	w.stop()
	w.checkOutcomes(names, sent)
}

// checkOutcomes sees to it that each recipient has one outcome.
func (w *world) checkOutcomes(names []string, sent map[string]bool) {
	w.t.Helper()
	outcomes := make(map[string]int)
	taken := 0
	for _, name := range names {
		for _, m := range w.peer(name).messages() {
			tag, _, _ := strings.Cut(strings.TrimPrefix(m.body, "X-Tag: "), "\r\n")
			for _, to := range m.to {
				address, _, _ := strings.Cut(strings.TrimPrefix(to, "<"), ">")
				outcomes[tag+" "+address]++
				taken++
			}
		}
	}
	for _, m := range w.submit.messages() {
		_, rest, _ := strings.Cut(m, "X-Tag: ")
		tag, _, _ := strings.Cut(rest, "\r\n")
		for part := range strings.SplitSeq(m, "Final-Recipient: rfc822; ") {
			if address, _, ok := strings.Cut(part, "\r\n"); ok && strings.HasSuffix(address, ".example") && strings.Contains(part, "Action: failed") {
				outcomes[tag+" "+address]++
			}
		}
	}
	for key := range sent {
		if outcomes[key] != 1 {
			w.t.Errorf("%s has %d outcomes", key, outcomes[key])
		}
	}
	w.t.Logf("%d recipients: %d taken; %d deferrals", len(sent), taken, len(w.lines("status=deferred")))
	if taken == 0 || taken == len(sent) || len(w.lines("status=deferred")) == 0 {
		w.t.Error("that was no chaos")
	}
}
