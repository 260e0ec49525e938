// What to copy: listen and the two for requests, for a server that accepts by itself, such
// as net/http; receive.go asks admit for the others. What to change: nothing.

package main

import (
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"sync"

	"github.com/seed-94e48765/portico/examples/mailfront/internal/client"
)

// admit decides on a new connection, before it has cost anything, such as a TLS
// handshake. Call release when it is closed. After an error it is to be closed at
// once, without a word: the log has it.
func (g *guard) admit(cl client.Client) (release func(), err error) {
	who, why := g.key(cl)
	g.mu.Lock()
	if err = g.mayConnect(who, why == ""); err == nil {
		g.count.Connections++
		if why == "" {
			g.open[who]++
		}
	}
	g.mu.Unlock()
	if err != nil {
		cl.Warn(g.log, "refuse", slog.String("reason", err.Error()))
		return nil, err
	}
	return sync.OnceFunc(func() { g.leave(who) }), nil
}

// mayConnect counts what it refuses. g.mu is held.
func (g *guard) mayConnect(who netip.Prefix, byAddress bool) (err error) {
	counter := new(uint64)
	switch {
	case g.count.Connections >= g.limits.total:
		err, counter = errAllOpen, &g.count.Full
	case byAddress && g.open[who] >= g.limits.perClient:
		err, counter = errTooManyOpen, &g.count.TooManyOpen
	}
	if byAddress { // even then: a ban is the better reason, and a try is a try
		switch e := g.allowKey(who, connecting); {
		case errors.Is(e, errBanned):
			err, counter = e, &g.count.WhileBanned
		case e != nil && err == nil:
			err, counter = e, &g.count.TooFast
		}
	}
	if err != nil {
		g.count.Refused++
		*counter++
	}
	return err
}

func (g *guard) leave(who netip.Prefix) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.count.Connections--
	if !who.IsValid() {
		return
	}
	if g.open[who]--; g.open[who] == 0 {
		delete(g.open, who)
	}
}

// listen returns l without the connections that admit refuses. Where a trusted proxy
// speaks HTTP, a connection has no client of its own: there it counts in the total
// only, and the handler knows more. An idle connection counts, too, until it is closed.
func (g *guard) listen(listener string, l net.Listener) net.Listener {
	return guardedListener{l, g, listener}
}

// refuseBanned answers for a client that is banned, and reports whether it has. On a
// connection from a proxy there may be other clients.
func (g *guard) refuseBanned(w http.ResponseWriter, cl client.Client) bool {
	if !g.banned(cl) {
		return false
	}
	g.tooMany(w, cl, errBanned)
	return true
}

// limitRequests answers for a client that is too fast for next.
func (g *guard) limitRequests(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := g.allow(client.FromRequest(r), requesting); err != nil {
			g.tooMany(w, client.FromRequest(r), err)
			return
		}
		next.ServeHTTP(w, r)
	})
}

func (g *guard) tooMany(w http.ResponseWriter, cl client.Client, err error) {
	cl.Log(g.log, "request_refused", slog.String("reason", err.Error()))
	w.Header().Set("Retry-After", retryAfter)
	http.Error(w, "Too many requests or wrong passwords: try later.", refusalStatus(err))
}

const retryAfter = "60" // seconds

// refusalStatus is that of errBanned, errTooFast and errBusy.
func refusalStatus(err error) int {
	if errors.Is(err, errBusy) {
		return http.StatusServiceUnavailable
	}
	return http.StatusTooManyRequests // RFC 6585 section 4
}

type guardedListener struct {
	net.Listener
	guard *guard
	name  string
}

func (l guardedListener) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		release, err := l.guard.admit(client.FromPeer(l.name, c))
		if err == nil {
			return guardedConn{c, release}, nil
		}
		c.Close()
	}
}

type guardedConn struct {
	net.Conn
	release func()
}

// NetConn lets proxyproto see what is below.
func (c guardedConn) NetConn() net.Conn { return c.Conn }

func (c guardedConn) Close() error {
	c.release()
	return c.Conn.Close()
}
