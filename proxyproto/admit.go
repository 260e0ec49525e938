package proxyproto

import (
	"bytes"
	"fmt"
	"net"
)

// admit decides what a connection is, with one snapshot of the trusted set.
func (l *Listener) admit(c net.Conn) {
	peer := c.RemoteAddr()
	switch {
	case l.trusts(peer):
		l.receive(c)
	case l.cfg.Untrusted == Refuse:
		c.Close()
		l.reject(&l.stats.Refused, peer, fmt.Errorf("%w: %v is %s", ErrRefused, peer, l.notTrusted()), nil)
	default:
		conn := newDirectConn(l, c)
		l.mu.Lock()
		late := l.phase == closed
		if !late {
			l.deliver(conn)
		}
		l.mu.Unlock()
		if late {
			c.Close()
		}
	}
}

func (l *Listener) trusts(peer net.Addr) bool {
	if l.cfg.Trusted == nil {
		return false
	}
	set := l.cfg.Trusted.Trusted()
	if set.TrustsAll() && !l.cfg.AllowTrustAll {
		l.mu.Lock()
		l.stats.TrustAll++
		l.mu.Unlock()
		return false
	}
	return set.ContainsAddr(peer)
}

// notTrusted says why a peer is not, for an error.
func (l *Listener) notTrusted() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.stats.TrustAll > 0 {
		return "not trusted (Config.Trusted covered a whole address family, see Config.AllowTrustAll)"
	}
	return "not in Config.Trusted"
}

// deliver counts c and makes it ready for Accept. l.mu is held, and the phase is
// not closed.
func (l *Listener) deliver(c *Conn) {
	switch {
	case c.info.Version == 0:
		l.stats.Direct++
	case c.info.Local || c.info.unknown:
		l.stats.Local++
	default:
		l.stats.Proxied++
	}
	l.ready.push(c)
	l.acceptable.Signal()
}

// reject counts and reports a connection that is closed already.
func (l *Listener) reject(counter *uint64, peer net.Addr, err error, seen []byte) {
	l.mu.Lock()
	*counter++
	l.mu.Unlock()
	l.report(peer, err, seen)
}

func (l *Listener) report(peer net.Addr, err error, seen []byte) {
	if l.cfg.OnReject != nil {
		l.cfg.OnReject(Rejection{Peer: unmap(peer), Err: err, Prefix: bytes.Clone(seen[:min(len(seen), 64)])})
	}
}
