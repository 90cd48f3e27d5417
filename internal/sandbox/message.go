package sandbox

import (
	"encoding/binary"
	"errors"
)

// The two ends of the socketpair between manager and spawner exchange packets (SOCK_SEQPACKET) of fixed size.

type operation byte

const (
	opStart operation = 1 // request: start a worker
	opKill  operation = 2 // request: end a worker
	opReady operation = 3 // report: the spawner is confined and waits
	opDone  operation = 4 // report: what became of a request
	opEnded operation = 5 // report: a worker ended
)

// request is what the manager may say: integers only.
type request struct {
	op       operation
	kind     byte
	sequence uint32 // comes back in the report
	uid, gid uint32 // of opStart
	pid      uint32 // of opKill
}

const requestSize = 18

var errMessage = errors.New("sandbox: malformed message")

func (r request) encode() []byte {
	b := []byte{byte(r.op), r.kind}
	for _, n := range []uint32{r.sequence, r.uid, r.gid, r.pid} {
		b = binary.BigEndian.AppendUint32(b, n)
	}
	return b
}

func decodeRequest(b []byte) (request, error) {
	if len(b) != requestSize {
		return request{}, errMessage
	}
	r := request{
		op: operation(b[0]), kind: b[1],
		sequence: binary.BigEndian.Uint32(b[2:]),
		uid:      binary.BigEndian.Uint32(b[6:]),
		gid:      binary.BigEndian.Uint32(b[10:]),
		pid:      binary.BigEndian.Uint32(b[14:]),
	}
	if r.op != opStart && r.op != opKill {
		return request{}, errMessage
	}
	return r, nil
}

// outcome is how a request went.
type outcome byte

const (
	outcomeOK      outcome = iota
	outcomeRefused         // the limits do not know that uid or gid, or there is no such kind or worker
	outcomeBusy            // a limit of living workers is reached
	outcomeErrno           // the system refused; status is the errno
)

// report is what the spawner says. With opDone of a start that went well comes one descriptor.
type report struct {
	op       operation
	outcome  outcome
	sequence uint32 // of the request
	pid      uint32
	status   uint32 // opEnded: as of wait(2); outcomeErrno: the errno
}

const reportSize = 14

func (r report) encode() []byte {
	b := []byte{byte(r.op), byte(r.outcome)}
	for _, n := range []uint32{r.sequence, r.pid, r.status} {
		b = binary.BigEndian.AppendUint32(b, n)
	}
	return b
}

func decodeReport(b []byte) (report, error) {
	if len(b) != reportSize {
		return report{}, errMessage
	}
	r := report{
		op: operation(b[0]), outcome: outcome(b[1]),
		sequence: binary.BigEndian.Uint32(b[2:]),
		pid:      binary.BigEndian.Uint32(b[6:]),
		status:   binary.BigEndian.Uint32(b[10:]),
	}
	if r.op < opReady || r.op > opEnded || r.outcome > outcomeErrno {
		return report{}, errMessage
	}
	return r, nil
}
