package sessions

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"time"

	"postrider/internal/auth"
	"postrider/internal/session/handover"
)

// Why a session was not opened.
var (
	errAway = errors.New("it takes no more") // and has not got the whole line: another process may have the session
	errLost = errors.New("it ended without an answer")
	errHung = errors.New("it does not answer")
)

// process is a session process with authd's side of the dialogue.
type process struct {
	m   *Manager
	key key

	ready   chan struct{} // closed when it was started, or was not
	failed  error         // why it was not
	running Process
	conn    *net.UnixConn
	lines   *bufio.Reader // of conn, without room for descriptors: to close one that a user made may take for ever

	writing sync.Mutex
	told    *Settings // by the last hello; guarded by writing

	// guarded by m.mu:
	sessions map[uint64]*session // that it has not ended
	waiting  int                 // of these, those that it has not answered
	living   int                 // and those that it has taken
	guests   int                 // logins that are on their way to it
	heard    time.Time           // when it last said something
	idle     time.Time           // since when there is neither; zero = there is
	timer    *time.Timer         // of its idleness
	gone     bool                // it gets no more
}

// session is a connection that the process was given.
type session struct {
	begun  time.Time
	answer chan handover.Answer // has room for the one that comes; closed if none comes
	taken  bool
}

func (p *process) pid() int { return p.running.PID() }

// start starts the process and greets it.
func (p *process) start() {
	ctx, cancel := context.WithTimeout(context.Background(), p.m.times.start)
	defer cancel()
	defer close(p.ready)
	if p.failed = p.m.admit(ctx, p); p.failed != nil {
		p.m.mu.Lock()
		defer p.m.mu.Unlock()
		p.part()
		return
	}
	running, err := p.m.starter.Start(ctx, p.key.uid, p.key.gid)
	if err != nil {
		p.failed = err
		p.m.ended(p)
		return
	}
	go p.outlive(running)
	if p.failed = p.meet(running); p.failed == nil {
		go p.read()
	}
}

// outlive waits for the end of the process, and says if it was none that is meant to be.
func (p *process) outlive(running Process) {
	<-running.Done()
	lost := p.m.ended(p)
	how := ""
	switch status := running.Status(); {
	case status.Signaled():
		how = fmt.Sprintf("signal %d (%v)", status.Signal(), status.Signal())
	case status.ExitStatus() != 0:
		how = fmt.Sprintf("status %d", status.ExitStatus())
	default:
		return
	}
	p.m.log.Warn("session process %d of uid %d ended with %s; sessions lost: %d", running.PID(), p.key.uid, how, lost)
}

// meet is the beginning of the dialogue.
func (p *process) meet(running Process) error {
	p.m.mu.Lock()
	p.running, p.conn = running, running.Conn()
	p.lines = auth.NewReader(p.conn)
	gone := p.gone
	p.m.mu.Unlock()
	if gone { // while it was being started
		go p.conn.Close()
		go p.end(p.m.times.end)
		return errAway
	}
	p.writing.Lock()
	err := p.greet()
	p.writing.Unlock()
	if err != nil {
		p.abandon(err)
	}
	return err
}

// greet sends the settings in force, unless the process has them. The caller holds p.writing.
func (p *process) greet() error {
	s := p.m.settings.Load()
	if p.told == s {
		return nil
	}
	if err := p.write(s.hello(p.key).Line(), nil); err != nil {
		return err
	}
	p.told = s
	return nil
}

func (p *process) write(l auth.Line, file *os.File) error {
	if err := p.conn.SetWriteDeadline(time.Now().Add(p.m.times.write)); err != nil {
		return err
	}
	return auth.Send(p.conn, l, file)
}

// open gives the process a connection and waits for its answer.
func (p *process) open(ctx context.Context, request handover.Session, file *os.File) error {
	s, number, err := p.enrol()
	if err != nil {
		return err
	}
	request.Number = number
	if err := p.send(request, file); err != nil {
		p.withdraw(number)
		if errors.Is(err, auth.ErrSyntax) { // of which nothing was written
			return err
		}
		p.abandon(err)
		return fmt.Errorf("%w: %w", errAway, err)
	}
	timer := time.NewTimer(p.m.times.answer)
	defer timer.Stop()
	select {
	case a, ok := <-s.answer:
		return verdict(a, ok)
	case <-timer.C:
		p.overdue(s)
		return errHung
	case <-ctx.Done():
		return ctx.Err()
	}
}

// overdue is told of a session for whose answer nobody waits any longer. It may still come: one mailbox may be slow, and the client
// is gone by then. But a process that has said nothing since, or owes many answers, gets no more sessions.
func (p *process) overdue(s *session) {
	p.m.mu.Lock()
	hung := p.heard.Before(s.begun) || p.waiting > p.m.maxWaiting(p.key.uid)/2
	p.m.mu.Unlock()
	if hung {
		p.abandon(errHung)
	}
}

// verdict is what an answer means. There is none if the process has ended, or said what it may not.
func verdict(a handover.Answer, ok bool) error {
	switch {
	case !ok:
		return errLost
	case a.Verb == auth.No:
		return auth.ErrInUse
	case a.Verb == auth.Later:
		return fmt.Errorf("it says: %s", a.Reason)
	}
	return nil
}

func (p *process) send(request handover.Session, file *os.File) error {
	p.writing.Lock()
	defer p.writing.Unlock()
	if err := p.greet(); err != nil {
		return err
	}
	return p.write(request.Line(), file)
}

// enrol makes a session of which the process may speak.
func (p *process) enrol() (*session, uint64, error) {
	p.m.mu.Lock()
	defer p.m.mu.Unlock()
	switch {
	case p.gone:
		return nil, 0, errAway
	case p.waiting >= p.m.maxWaiting(p.key.uid) || len(p.sessions) >= maxSessions:
		return nil, 0, errors.New("it has too many sessions")
	}
	p.m.number++
	s := &session{begun: time.Now(), answer: make(chan handover.Answer, 1)}
	p.sessions[p.m.number] = s
	p.waiting++
	return s, p.m.number, nil
}

// withdraw forgets a session that the process has not heard of.
func (p *process) withdraw(number uint64) {
	p.m.mu.Lock()
	defer p.m.mu.Unlock()
	if _, ok := p.sessions[number]; ok {
		delete(p.sessions, number)
		p.waiting--
	}
}

// read hears the process out.
func (p *process) read() {
	for {
		l, err := auth.ReadLine(p.lines)
		if err == nil {
			err = p.hear(l)
		}
		if err != nil {
			p.abandon(err)
			return
		}
	}
}

// hear takes one line. Each session may be answered once, and ended once if it was taken: there are no more lines than that.
func (p *process) hear(l auth.Line) error {
	a, err := handover.ParseAnswer(l)
	if err != nil {
		return err
	}
	p.m.mu.Lock()
	defer p.m.mu.Unlock()
	p.heard = time.Now()
	s := p.sessions[a.Number]
	if s == nil || s.taken != (a.Verb == auth.End) {
		return fmt.Errorf("%w: %s of a session that is not there", auth.ErrSyntax, a.Verb)
	}
	switch a.Verb {
	case auth.OK:
		s.taken = true
		p.waiting--
		p.living++
		s.answer <- a
		return nil
	case auth.End:
		p.living--
	default:
		p.waiting--
		s.answer <- a
	}
	delete(p.sessions, a.Number)
	p.rest()
	return nil
}

// abandon gives up a process that hung, ended or lied.
func (p *process) abandon(err error) {
	p.m.mu.Lock()
	known := p.gone
	p.part()
	p.m.mu.Unlock()
	if !known && !leave(err) {
		p.m.log.Warn("session process %d of uid %d: %v", p.pid(), p.key.uid, err)
	}
}

// leave says whether an error is how the other end takes its leave.
func leave(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, syscall.EPIPE) || errors.Is(err, syscall.ECONNRESET)
}

// rest begins the idleness of a process without sessions, and ends that of another. The caller holds m.mu.
func (p *process) rest() {
	if len(p.sessions) > 0 || p.guests > 0 || p.gone {
		p.idle = time.Time{}
		if p.timer != nil {
			p.timer.Stop()
			p.timer = nil
		}
		return
	}
	if p.idle.IsZero() {
		since := time.Now()
		p.idle = since
		p.timer = time.AfterFunc(p.m.settings.Load().Config.Authd.SessionIdle.D(), func() { p.expire(since) })
	}
}

// expire ends a process that has been idle since then.
func (p *process) expire(since time.Time) {
	p.m.mu.Lock()
	defer p.m.mu.Unlock()
	if p.idle.Equal(since) {
		p.part()
	}
}

// part gives a process no more sessions, tells who waits, and closes the connection: the process ends with its last session. It is
// killed if it has none and does not end, and if it owes answers, whose descriptors it may keep on their way, where only one user's
// sessions go with it. The caller holds m.mu.
func (p *process) part() {
	if p.gone {
		return
	}
	p.gone = true
	p.rest()
	if p.m.current[p.key] == p {
		delete(p.m.current, p.key)
	}
	owes := p.waiting > 0
	for number, s := range p.sessions {
		if !s.taken {
			close(s.answer)
			delete(p.sessions, number)
		}
	}
	p.waiting = 0
	if p.conn == nil {
		return
	}
	go p.conn.Close() // which waits for what a process passed to be closed, and for a read that does
	switch {
	case p.living == 0:
		go p.end(p.m.times.end)
	case owes && !p.m.shared(p.key.uid):
		go p.end(p.m.times.owing)
	}
}

// end waits for the end of a process, and kills it if it has to.
func (p *process) end(patience time.Duration) {
	for range 3 {
		timer := time.NewTimer(patience)
		select {
		case <-p.running.Done():
			timer.Stop()
			return
		case <-timer.C:
			p.running.Kill() // where that does not help, the limit of its uid holds
		}
	}
}
