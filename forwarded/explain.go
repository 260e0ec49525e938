package forwarded

import (
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strings"
)

// A Hop is one step of the walk from the peer to the client. It is for people:
// the texts may change, so decide by the [Result].
type Hop struct {
	// Addr is the address of this hop, unmapped and without a zone. It is the
	// zero Addr if there is none: on a unix socket, or in an entry that could
	// not be read.
	Addr netip.Addr

	// Where says where the hop comes from: "connection", "PROXY protocol", or
	// the header with its line and the entry counted from the right.
	Where string

	// Text is the hop as it stands there, not checked and without the blanks
	// around it: quote it. A long one is cut at its left end.
	Text string

	// Trusted reports whether Addr, or the unix socket, is in Config.Trusted. On
	// a PROXY protocol connection nobody asks.
	Trusted bool

	// Verdict says in one sentence what follows from it.
	Verdict string
}

// String returns the hop in one line, its text quoted.
func (h Hop) String() string {
	return fmt.Sprintf("%s %q: %s", h.Where, h.Text, h.Verdict)
}

// Explain answers the question "why this address?" for req: the hops in the order
// of the walk, from the peer to where it ended, the last of them with the Reason.
// The decisions are those of [Resolver.ResolveRequest], made by the same code. It
// is meant for diagnostic pages and for logs of single requests, and allocates. With
// Config.Strip it has to come before Handler, which removes what it would explain.
func (r *Resolver) Explain(req *http.Request) []Hop {
	var t trace
	var res Result
	r.resolveRequest(&res, req, &t)
	peer := Hop{
		Addr:    res.Peer,
		Where:   "connection",
		Text:    shorten(req.RemoteAddr),
		Trusted: res.Reason != NoPeer && res.Reason != UntrustedPeer && res.Reason != UntrustedHeader && res.Reason != ProxyProtocol,
		Verdict: "trusted, so its " + r.cfg.Header.String() + " is read",
	}
	switch res.Reason {
	case NoPeer:
		peer.Verdict = noPeer(req)
	case UntrustedPeer:
		peer.Verdict = "not trusted, so it is the client"
	case UntrustedHeader:
		peer.Verdict = "not trusted, so it is the client, and its forwarding headers are ignored; if it is a proxy, add it to Config.Trusted"
	case NoHeader:
		peer.Verdict = "trusted, but the request has no " + r.cfg.Header.String()
	case ProxyProtocol:
		peer.Text = addrText(res.Peer)
		peer.Verdict = "the connection came through a PROXY protocol listener, so no forwarding header is read"
	}
	if t.trustsAll {
		peer.Verdict += " (Config.Trusted covers a whole address family and trusts nobody without AllowTrustAll)"
	}
	hops := []Hop{peer}
	if res.Reason == ProxyProtocol {
		client := Hop{Addr: res.Client, Where: "PROXY protocol", Text: addrText(res.Client), Verdict: "the client"}
		if !res.ClientKnown() {
			client.Verdict = "the client is not known"
			if t.directProxy {
				client.Verdict += ": the connection has no PROXY header, and its peer is in Config.Trusted, so it is a proxy"
			}
		}
		hops = append(hops, client)
	}
	for i, e := range t.entries {
		hops = append(hops, Hop{
			Addr:    e.addr,
			Where:   fmt.Sprintf("%v line %d of %d, entry %d from the right", r.cfg.Header, e.line, e.lines, i+1),
			Text:    e.text,
			Trusted: e.trusted,
			Verdict: e.verdict(),
		})
	}
	last := &hops[len(hops)-1]
	switch res.Reason {
	case AllTrusted:
		last.Verdict = "trusted, and there is no further entry"
	case TooManyHops:
		last.Verdict = fmt.Sprintf("trusted, but Config.MaxHops is %d and there are more entries", r.cfg.MaxHops)
	}
	last.Verdict += " [" + res.Reason.String() + "]"
	return hops
}

// addrText returns a as text, "" if there is none.
func addrText(a netip.Addr) string {
	if !a.IsValid() {
		return ""
	}
	return a.String()
}

func noPeer(req *http.Request) string {
	if _, ok := req.Context().Value(http.LocalAddrContextKey).(*net.UnixAddr); !ok {
		return "not an address and a port, so nothing is known and its headers are ignored"
	}
	if _, ok := parsePeer(req.RemoteAddr); ok {
		return "an IP address on a unix socket, which proves nothing, so its headers are ignored"
	}
	return "a peer on a unix socket, and Config.Trusted has no unix, so its headers are ignored"
}

// A trace collects what the walk read.
type trace struct {
	before      list // as it was when the entry was read
	trustsAll   bool // the set was refused
	directProxy bool // a proxy without a PROXY header
	entries     []tracedEntry
}

type tracedEntry struct {
	addr        netip.Addr
	line, lines int // counted from 1
	text        string
	trusted     bool
	fault       fault
}

// add notes an entry: reading it led from t.before to after.
func (t *trace) add(after list, a netip.Addr, trusted bool, f fault) {
	before := t.before
	// Where an entry begins that could not be read, nobody knows.
	text := before.rest[strings.LastIndexByte(before.rest, ',')+1:]
	if f == faultNone {
		text = between(before, after)
	}
	t.entries = append(t.entries, tracedEntry{
		addr:    a,
		line:    before.line + 1,
		lines:   len(before.lines),
		text:    shorten(trim(text)),
		trusted: trusted,
		fault:   f,
	})
}

// between returns the entry between two positions. It may have begun in a line
// before, in a quoted string.
func between(before, after list) string {
	text := before.rest
	if before.line == after.line {
		return text[len(after.rest)+1:]
	}
	for i := before.line - 1; i > after.line; i-- {
		text = before.lines[i] + "," + text
	}
	if after.more() {
		if line := before.lines[after.line]; len(after.rest) < len(line) {
			text = line[len(after.rest)+1:] + "," + text
		}
	}
	return text
}

func (e *tracedEntry) verdict() string {
	switch {
	case e.fault != faultNone:
		return e.fault.String() + ", so the hop before is the last that is known"
	case e.trusted:
		return "trusted, so the next entry is read"
	}
	return "not trusted, so it is the client; what stands left of it is not read"
}

// shorten returns the right end of a text that is too long to print.
func shorten(s string) string {
	const most = maxToken
	if len(s) <= most {
		return s
	}
	return "…" + s[len(s)-most:]
}
