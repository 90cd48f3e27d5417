package sessions

import (
	"context"
	"net"
	"time"

	"postrider/internal/sandbox"
)

// ProcessKind is the session process among what authd's spawner starts.
const ProcessKind = 's'

// Spawned starts session processes through the spawner.
type Spawned struct{ *sandbox.Spawner }

// Start starts a session process.
func (s Spawned) Start(ctx context.Context, uid, gid uint32) (Process, error) {
	w, err := s.Spawner.Start(ctx, uid, gid, ProcessKind)
	if err != nil {
		return nil, err
	}
	return spawned{w}, nil
}

type spawned struct{ *sandbox.Worker }

func (p spawned) Conn() *net.UnixConn { return p.Worker.Conn }
func (p spawned) PID() int            { return p.Worker.PID }

// Kill ends the process by force.
func (p spawned) Kill() {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	p.Worker.Kill(ctx) // where that fails, the limit per uid holds
}
