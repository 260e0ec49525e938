// What to copy: accept, which lets clients wait if all sessions are in use, and shutdown, for
// the order of its steps. What to change: add limits for each client to accept, where the
// client's address is known.

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"sync"
	"text/tabwriter"
	"time"

	"github.com/seed-94e48765/portico/examples/internal/keepalive"
	"github.com/seed-94e48765/portico/proxyproto"
)

// A relay is a running relay.
type relay struct {
	cfg       *config
	log       *slog.Logger
	listeners []*listener
	dial      func(ctx context.Context, network, address string) (net.Conn, error)
	watch     watch
	room      chan struct{} // holds a token for every session
	jobs      chan job      // for the workers
	accepting sync.WaitGroup
	sessions  sync.WaitGroup
	broken    chan error      // error of a listener that ended by itself
	ctx       context.Context // until the grace of shutdown is over
	cancel    context.CancelFunc
}

type listener struct {
	*proxyproto.Listener
	route route
}

// A job is a client whose session begins, or a session that has ended.
type job struct {
	route *route
	conn  *proxyproto.Conn
	ended *session
	err   error
}

// workers is the number of goroutines that begin and end sessions. Their stacks have grown for
// this and are reused. If all of them wait for a backend, a job gets a new goroutine.
const workers = 32

func (r *relay) work() {
	for {
		select {
		case j := <-r.jobs:
			r.do(j)
		case <-r.ctx.Done():
			return
		}
	}
}

func (r *relay) do(j job) {
	if j.ended != nil {
		j.ended.end(j.err)
		return
	}
	r.serve(j.route, j.conn)
}

// give passes a job to a worker.
func (r *relay) give(j job) {
	select {
	case r.jobs <- j:
	default:
		go r.do(j)
	}
}

// start opens all listeners and serves them. If it returns an error, all are closed.
func start(cfg *config, log *slog.Logger) (*relay, error) {
	d := &net.Dialer{KeepAlive: -1} // see traffic.keepAlive
	r := &relay{cfg: cfg, dial: d.DialContext, log: log, room: make(chan struct{}, cfg.maxSessions), broken: make(chan error, 1), jobs: make(chan job)}
	r.ctx, r.cancel = context.WithCancel(context.Background())
	for _, rt := range cfg.routes {
		l, err := r.open(rt)
		if err != nil {
			for _, l := range r.listeners {
				l.Close()
			}
			r.cancel()
			return nil, err
		}
		r.listeners = append(r.listeners, l)
	}
	go r.watch.run(cfg.idleTimeout, r.ctx.Done())
	for range workers {
		go r.work()
	}
	for _, l := range r.listeners {
		r.accepting.Go(func() { r.accept(l) })
	}
	return r, nil
}

func (r *relay) open(rt route) (*listener, error) {
	socket, err := keepalive.Listen("tcp", rt.listen.Text)
	if err != nil {
		return nil, rt.listen.Errorf("cannot listen: %w", err)
	}
	l, err := proxyproto.New(socket, proxyproto.Config{
		Trusted:   r.cfg.trusted,
		Untrusted: r.cfg.untrusted,
		TLS:       r.cfg.tlsPath,
		OnReject: func(rej proxyproto.Rejection) {
			r.log.Warn("connection refused", "listener", socket.Addr().String(), "peer", host(rej.Peer), "reason", rej.Err.Error(),
				"setting", "RELAY_TRUSTED_PROXIES")
		},
	})
	if err != nil {
		socket.Close()
		return nil, fmt.Errorf("relay: the listener %s: %w", rt.listen.Text, err)
	}
	return &listener{l, rt}, nil
}

// accept serves clients until the listener ends. If there is no room for another session,
// clients wait in the listener, which has its own limit (proxyproto.Config.MaxPending), and
// then in the kernel's backlog.
func (r *relay) accept(l *listener) {
	for {
		c, err := l.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			select {
			case r.broken <- fmt.Errorf("relay: the listener %s broke: %w", l.Addr(), err):
			default:
			}
			return
		}
		conn := c.(*proxyproto.Conn)
		if !r.makeRoom(l) {
			(&session{relay: r, conn: conn, route: &l.route}).turnAway(slog.LevelInfo, "", errNoRoom)
			c.Close()
			continue
		}
		r.sessions.Add(1)
		r.give(job{route: &l.route, conn: conn})
	}
}

// leave ends what makeRoom began.
func (r *relay) leave() {
	<-r.room
	r.sessions.Done()
}

// makeRoom waits until there is room for a session, and reserves it. It returns false if the
// relay ends.
func (r *relay) makeRoom(l *listener) bool {
	select {
	case r.room <- struct{}{}:
		return true
	default:
	}
	r.log.Warn("no room for another session, clients wait (RELAY_MAX_SESSIONS)", "listener", l.Addr().String(), "sessions", r.cfg.maxSessions)
	select {
	case r.room <- struct{}{}:
		return true
	case <-r.ctx.Done():
		return false
	}
}

// shutdown ends the listeners, so that every accepted client gets its session, and then waits
// for the sessions. Sessions that last for longer than grace are closed.
func (r *relay) shutdown(grace time.Duration) error {
	ctx, cancel := context.WithTimeout(context.Background(), grace)
	defer cancel()
	context.AfterFunc(ctx, r.cancel)
	errs := make([]error, len(r.listeners))
	var all sync.WaitGroup
	for i, l := range r.listeners {
		all.Go(func() {
			errs[i] = l.Shutdown(ctx)
			if errors.Is(errs[i], context.DeadlineExceeded) { // reported, but not a failure
				r.log.Warn("clients cut at shutdown before they had a session (RELAY_GRACE)", "listener", l.Addr().String())
				errs[i] = nil
			}
		})
	}
	all.Wait()
	r.accepting.Wait() // no session begins after this
	r.sessions.Wait()
	return errors.Join(errs...)
}

// describe prints the table of listeners.
func (r *relay) describe(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "LISTENER\tBACKEND\tSENDS\tTLS")
	tls := "passed on"
	if r.cfg.tls != nil {
		tls = "ended here"
	}
	for _, l := range r.listeners {
		fmt.Fprintf(t, "%s\t%s\tv%d\t%s\n", l.Addr(), l.route.backend.Text, r.cfg.version, tls)
	}
	return t.Flush()
}
