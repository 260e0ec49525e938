// What to copy: accept, which lets clients wait while there is no room, and
// shutdown, for the order in which everything ends. What to change: limits for each
// client would stand in accept, too: its address is known there.

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

	"github.com/seed-94e48765/portico/proxyproto"
)

// A relay is a running one.
type relay struct {
	cfg       *config
	log       *slog.Logger
	listeners []*listener
	dial      func(ctx context.Context, network, address string) (net.Conn, error) // for tests; nil is net.Dialer's
	room      chan struct{}                                                        // holds a token for every session
	accepting sync.WaitGroup
	sessions  sync.WaitGroup
	broken    chan error      // a listener that ended by itself
	ctx       context.Context // until the grace of shutdown is over
	cancel    context.CancelFunc
}

type listener struct {
	*proxyproto.Listener
	route route
}

// start opens all listeners and serves. After an error nothing is left open.
func start(cfg *config, log *slog.Logger) (*relay, error) {
	r := &relay{cfg: cfg, log: log, room: make(chan struct{}, cfg.maxSessions), broken: make(chan error, 1)}
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
	for _, l := range r.listeners {
		r.accepting.Go(func() { r.accept(l) })
	}
	return r, nil
}

func (r *relay) open(rt route) (*listener, error) {
	socket, err := net.Listen("tcp", rt.listen.Text)
	if err != nil {
		return nil, rt.listen.Errorf("cannot listen: %w", err)
	}
	l, err := proxyproto.New(socket, proxyproto.Config{
		Trusted:   r.cfg.trusted,
		Untrusted: r.cfg.untrusted,
		TLS:       r.cfg.tlsPath,
		OnReject: func(rej proxyproto.Rejection) {
			r.log.Warn("connection refused", "listener", socket.Addr().String(), "peer", host(rej.Peer), "reason", rej.Err.Error())
		},
	})
	if err != nil {
		socket.Close()
		return nil, fmt.Errorf("relay: the listener %s: %w", rt.listen.Text, err)
	}
	return &listener{l, rt}, nil
}

// accept serves clients until the listener ends. Where there is no room for another
// session they wait: in the listener, which has a bound of its own
// (proxyproto.Config.MaxPending), and then in the kernel's backlog.
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
		if !r.makeRoom(l) {
			c.Close()
			continue
		}
		r.sessions.Add(1)
		go r.serve(l.route, c.(*proxyproto.Conn), func() {
			<-r.room
			r.sessions.Done()
		})
	}
}

// makeRoom waits until there is room for a session, and takes it. It reports false
// when the relay ends.
func (r *relay) makeRoom(l *listener) bool {
	select {
	case r.room <- struct{}{}:
		return true
	default:
	}
	r.log.Warn("no room for another session, clients wait", "listener", l.Addr().String(), "sessions", r.cfg.maxSessions)
	select {
	case r.room <- struct{}{}:
		return true
	case <-r.ctx.Done():
		return false
	}
}

// shutdown ends everything, and returns when it has ended: first the listeners, so
// that every client that was accepted gets its session, then the sessions. Those that
// go on for longer than grace are cut.
func (r *relay) shutdown(grace time.Duration) error {
	ctx, cancel := context.WithTimeout(context.Background(), grace)
	defer cancel()
	context.AfterFunc(ctx, r.cancel)
	errs := make([]error, len(r.listeners))
	var all sync.WaitGroup
	for i, l := range r.listeners {
		all.Go(func() {
			errs[i] = l.Shutdown(ctx)
			if errors.Is(errs[i], context.DeadlineExceeded) { // as is said, and no failure
				r.log.Warn("clients cut at shutdown before they had a session", "listener", l.Addr().String())
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
