package proxyproto

import (
	"bytes"
	"fmt"
	"net"

	"github.com/seed-94e48765/portico/trustnet"
)

// A role is the permission of a peer to send PROXY headers.
type role uint8

const (
	unlisted role = iota // Config.Untrusted decides
	direct               // Config.Direct
	optional             // Config.Optional
	trusted              // Config.Trusted
)

// admit serves, keeps or refuses a connection that was accepted.
func (l *Listener) admit(c net.Conn) {
	peer := c.RemoteAddr()
	role, why := l.roleOf(peer)
	switch {
	case role == trusted || role == optional:
		l.receive(c, role)
	case role == unlisted && l.cfg.Untrusted == Refuse:
		c.Close()
		l.reject(Rejection{Peer: peer, Err: fmt.Errorf("%w: %v %s", ErrRefused, peer, why)}, &l.stats.Refused)
	default:
		conn := newDirectConn(l, c, l.own.unmap(c.LocalAddr()), why, role == unlisted && l.cfg.Untrusted == Ignore)
		l.mu.Lock()
		late := l.phase == closed
		if !late {
			l.deliver(conn, &l.stats.Direct)
		}
		l.mu.Unlock()
		if late {
			c.Close()
		}
	}
}

// roleOf consults the lists, with one snapshot of each. It is called by the accept loop
// only.
func (l *Listener) roleOf(peer net.Addr) (role, reason) {
	if snapshot(l.cfg.Direct).ContainsAddr(peer) {
		return direct, listedAsDirect
	}
	trustedSet, optionalSet, ignored := l.lists.snapshot(&l.cfg)
	switch {
	case trustedSet.ContainsAddr(peer):
		return trusted, 0
	case optionalSet.ContainsAddr(peer):
		return optional, 0
	case ignored:
		l.mu.Lock()
		l.stats.TrustAll++
		l.mu.Unlock()
		return unlisted, listIgnored
	case !l.usesProtocol:
		return unlisted, protocolOff
	}
	return unlisted, notListed
}

func snapshot(src trustnet.Source) *trustnet.Set {
	if src == nil {
		return nil
	}
	return src.Trusted()
}

// trustLists caches for one pair of sets whether they trust all together.
type trustLists struct {
	trusted, optional *trustnet.Set
	all               bool
}

// snapshot returns the sets of trusted and of optional peers. It omits those that trust
// all, and both if they do so together, and reports that.
func (t *trustLists) snapshot(c *Config) (trusted, optional *trustnet.Set, ignored bool) {
	trusted, optional = snapshot(c.Trusted), snapshot(c.Optional)
	if c.AllowTrustAll {
		return trusted, optional, false
	}
	if trusted.TrustsAll() {
		trusted, ignored = nil, true
	}
	if optional.TrustsAll() {
		optional, ignored = nil, true
	}
	if trusted.IsEmpty() || optional.IsEmpty() {
		return trusted, optional, ignored
	}
	if trusted != t.trusted || optional != t.optional {
		*t = trustLists{trusted, optional, trusted.Union(optional).TrustsAll()}
	}
	if t.all {
		return nil, nil, true
	}
	return trusted, optional, false
}

// check returns an error that wraps trustnet.ErrTrustsAll if a list is ignored.
func (t *trustLists) check(c *Config) error {
	if _, _, ignored := t.snapshot(c); !ignored {
		return nil
	}
	list := snapshot(c.Trusted).Union(snapshot(c.Optional)).String()
	return fmt.Errorf("proxyproto: the list of trusted proxies is %.100q: %w; list only the addresses of the proxies", list, trustnet.ErrTrustsAll)
}

// A reason is why a peer may not send a PROXY header.
type reason uint8

const (
	notListed      reason = iota
	protocolOff           // the Listener has no trusted and no optional peers
	listIgnored           // a list trusts all
	listedAsDirect        // Config.Direct
	tooLate               // an optional peer, after OptionalWait
)

// String continues a sentence about the peer.
func (r reason) String() string {
	switch r {
	case protocolOff:
		return "sent it to a port that does not use the PROXY protocol; turn the protocol off in the proxy for this port"
	case listIgnored:
		return "is not trusted, because the list of trusted proxies covers half of the Internet or more and is ignored"
	case listedAsDirect:
		return "is on the list of peers that do not send PROXY headers"
	}
	return "is not on the list of trusted proxies"
}

// deliver counts c and makes it ready for Accept. l.mu is held, and the phase is
// not closed.
func (l *Listener) deliver(c *Conn, counter *uint64) {
	*counter++
	l.ready.push(c)
	l.acceptable.Signal()
}

// reject counts and reports a connection that is closed already, or a header that was
// dropped.
func (l *Listener) reject(r Rejection, counters ...*uint64) {
	l.mu.Lock()
	for _, n := range counters {
		*n++
	}
	l.mu.Unlock()
	l.report(r)
}

func (l *Listener) report(r Rejection) {
	if l.cfg.OnReject != nil {
		r.Peer = unmap(r.Peer)
		r.Prefix = bytes.Clone(r.Prefix[:min(len(r.Prefix), 64)])
		l.cfg.OnReject(r)
	}
}
