// Package nodes helps tests and benchmarks of several mailfront nodes. It starts a Redis
// server, and signs users in with each step at another node.
package nodes

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
)

// ErrNoRedis is returned by StartRedis if there is no redis-server.
var ErrNoRedis = errors.New("redis-server is not installed: apt-get install redis-server (or PORTICO_REDIS=/path/to/redis-server)")

// A Redis is a redis-server or valkey-server on a unix socket. It listens on no port.
type Redis struct {
	Client *redis.Client // for assertions

	path, dir string
	args      []string
	cmd       *exec.Cmd
	ended     chan error
	output    output
}

// StartRedis starts a server with additional arguments, such as --appendonly yes. Its files
// are in a new directory, which Close removes.
func StartRedis(args ...string) (*Redis, error) {
	name := os.Getenv("PORTICO_REDIS")
	if name == "" {
		name = "redis-server"
	}
	path, err := exec.LookPath(name)
	if err != nil {
		return nil, ErrNoRedis
	}
	dir, err := os.MkdirTemp("", "redis") // short: the path of a socket has at most 107 bytes
	if err != nil {
		return nil, err
	}
	r := &Redis{path: path, dir: dir, args: args}
	r.Client = redis.NewClient(&redis.Options{Network: "unix", Addr: r.socket(), MaxRetries: -1, DisableIdentity: true})
	if err := r.Start(); err != nil {
		r.Close()
		return nil, err
	}
	return r, nil
}

func (r *Redis) socket() string { return filepath.Join(r.dir, "s") }

// URL returns the value of MAILFRONT_STORE.
func (r *Redis) URL() string { return "unix://" + r.socket() }

// Start starts the server again after Stop. It returns when the server answers.
func (r *Redis) Start() error {
	r.cmd = exec.Command(r.path, append([]string{"--port", "0", "--unixsocket", r.socket(), "--dir", r.dir, "--save", "", "--loglevel", "warning"}, r.args...)...)
	r.cmd.Stdout, r.cmd.Stderr = &r.output, &r.output
	if err := r.cmd.Start(); err != nil {
		return err
	}
	r.ended = make(chan error, 1)
	go func() { r.ended <- r.cmd.Wait() }()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	for {
		if err := r.Client.Ping(ctx).Err(); err == nil {
			return nil
		}
		select {
		case err := <-r.ended:
			r.ended <- err
			return fmt.Errorf("redis-server ended: %v\n%s", err, r.output.String())
		case <-ctx.Done():
			return fmt.Errorf("redis-server does not answer: %w\n%s", ctx.Err(), r.output.String())
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// Process returns the process, for signals.
func (r *Redis) Process() *os.Process { return r.cmd.Process }

// Stop kills the server and waits for its end. Its files remain.
func (r *Redis) Stop() {
	if r.cmd == nil || r.cmd.Process == nil {
		return
	}
	r.cmd.Process.Kill()
	err := <-r.ended
	r.ended <- err
}

// Close ends the server and removes its files.
func (r *Redis) Close() {
	r.Client.Close()
	r.Stop()
	os.RemoveAll(r.dir)
}

// An output collects the output of a process.
type output struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.String()
}
