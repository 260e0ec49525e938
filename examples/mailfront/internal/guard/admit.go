package guard

import (
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"sync"

	"github.com/seed-94e48765/portico/examples/mailfront/internal/client"
)

// Admit decides whether a new connection may stay. Call it before a TLS handshake, and
// release when the connection is closed. After an error, which Admit has logged, close the
// connection without an answer.
func (g *Guard) Admit(cl client.Client) (release func(), err error) {
	who, why := g.Key(cl)
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
func (g *Guard) mayConnect(who netip.Prefix, byAddress bool) (err error) {
	counter := new(uint64)
	switch {
	case g.count.Connections >= g.limits.Total:
		err, counter = ErrAllOpen, &g.count.Full
	case byAddress && g.open[who] >= g.limits.PerClient:
		err, counter = ErrTooManyOpen, &g.count.TooManyOpen
	}
	if byAddress { // even then: a ban is the better reason, and a try is a try
		switch e := g.allowKey(who, Connecting); {
		case errors.Is(e, ErrBanned):
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

func (g *Guard) leave(who netip.Prefix) {
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

// Listen returns a listener without the connections of l that [Guard.Admit] refuses. It is
// for servers that accept by themselves, such as net/http. A connection from a trusted proxy
// that sends forwarding headers counts in the total only, because it has requests of several
// clients. An idle connection counts until it is closed.
func (g *Guard) Listen(listener string, l net.Listener) net.Listener {
	return guardedListener{l, g, listener}
}

// RefuseBanned answers the request of a client that is banned, and reports whether it is.
func (g *Guard) RefuseBanned(w http.ResponseWriter, cl client.Client) bool {
	err := g.banned(cl)
	if err == nil {
		return false
	}
	g.Refuse(w, cl, err)
	return true
}

// LimitRequests returns a handler that answers requests beyond the limit of their client,
// and passes the others to next.
func (g *Guard) LimitRequests(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := g.Allow(client.FromRequest(r), Requesting); err != nil {
			g.Refuse(w, client.FromRequest(r), err)
			return
		}
		next.ServeHTTP(w, r)
	})
}

type guardedListener struct {
	net.Listener
	guard *Guard
	name  string
}

func (l guardedListener) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		release, err := l.guard.Admit(client.FromPeer(l.name, c))
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
