package localdeliver

import (
	"context"
	"net"
	"time"

	"postrider/internal/sandbox"
)

// WorkerKind is the worker of localdeliver among those that its spawner starts.
const WorkerKind = 'd'

// Spawned starts workers through the spawner.
type Spawned struct{ *sandbox.Spawner }

// Start starts a worker.
func (s Spawned) Start(ctx context.Context, uid, gid uint32) (Process, error) {
	w, err := s.Spawner.Start(ctx, uid, gid, WorkerKind)
	if err != nil {
		return nil, err
	}
	return spawned{w.Conn, w}, nil
}

type spawned struct {
	net.Conn
	*sandbox.Worker
}

// Kill ends the worker by force.
func (p spawned) Kill() {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	p.Worker.Kill(ctx) // where that fails, the limit per uid holds
}
