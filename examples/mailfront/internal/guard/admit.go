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

// Admit decides whether a new connection may stay. Call it before a TLS handshake, and call release
// when the connection is closed. After an error, which Admit has logged, close the connection without
// an answer.
func (g *Guard) Admit(cl client.Client) (release func(), err error) {
	return g.admit(cl, g.admitShared)
}

// admit is like Admit, and also refuses a connection if more returns an error.
func (g *Guard) admit(cl client.Client, more func(netip.Prefix, Action) error) (release func(), err error) {
	who, why := g.Key(cl)
	g.mu.Lock()
	if err = g.mayConnect(who, why == ""); err == nil {
		g.count.Connections++
		if why == "" {
			g.open[who]++
		}
	}
	g.mu.Unlock()
	if err == nil && why == "" {
		if err = more(who, Connecting); err != nil {
			g.leave(who)
			g.countRefusal(err)
		}
	}
	if err != nil {
		cl.Warn(g.log, "refuse", slog.String("reason", err.Error()))
		return nil, err
	}
	return sync.OnceFunc(func() { g.leave(who) }), nil
}

// mayConnect decides about a connection and counts refusals. g.mu is held.
func (g *Guard) mayConnect(who netip.Prefix, byAddress bool) (err error) {
	switch {
	case g.count.Connections >= g.limits.Total:
		err = ErrAllOpen
	case byAddress && g.open[who] >= g.limits.PerClient:
		err = ErrTooManyOpen
	}
	if byAddress { // charge it in any case, and prefer a ban as the reason
		if e := g.allowKey(who, Connecting); errors.Is(e, ErrBanned) || err == nil {
			err = e
		}
	}
	if err != nil {
		g.countRefusalLocked(err)
	}
	return err
}

func (g *Guard) countRefusal(err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.countRefusalLocked(err)
}

// countRefusalLocked is like countRefusal. g.mu is held.
func (g *Guard) countRefusalLocked(err error) {
	g.count.Refused++
	switch {
	case errors.Is(err, ErrAllOpen):
		g.count.Full++
	case errors.Is(err, ErrTooManyOpen):
		g.count.TooManyOpen++
	case errors.Is(err, ErrBanned):
		g.count.WhileBanned++
	default:
		g.count.TooFast++
	}
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

// Listen returns a listener for the connections of l that [Guard.Admit] accepts. It is for
// servers that call Accept themselves, such as net/http. A connection from a trusted proxy that
// sends forwarding headers counts in the total only, because it has requests of several clients.
// An idle connection counts until it is closed. Connections do not wait for the store that nodes
// share, but their requests do.
func (g *Guard) Listen(name client.Listener, l net.Listener) net.Listener {
	return guardedListener{l, g, name}
}

// RefuseBanned answers the request of a banned client, and reports whether the client is banned.
func (g *Guard) RefuseBanned(w http.ResponseWriter, cl client.Client) bool {
	err := g.banned(cl)
	if err == nil {
		return false
	}
	g.Refuse(w, cl, err)
	return true
}

// LimitRequests returns a handler that refuses requests over the limit of their client and passes the
// others to next.
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
	name  client.Listener
}

func (l guardedListener) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		// Connections are accepted one after the other, so none waits for the store.
		release, err := l.guard.admit(client.FromPeer(l.name, c), func(netip.Prefix, Action) error { return nil })
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

// NetConn lets package proxyproto find the connection below.
func (c guardedConn) NetConn() net.Conn { return c.Conn }

func (c guardedConn) Close() error {
	c.release()
	return c.Conn.Close()
}
