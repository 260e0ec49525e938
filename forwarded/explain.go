package forwarded

import (
	"fmt"
	"net/http"
	"net/netip"
	"strings"
)

// A Hop is one step from the peer to the client. Its texts are for people and may
// change; a program should use the [Result].
type Hop struct {
	// Addr is the address of this hop, unmapped and without a zone. It is the
	// zero Addr for a peer on a unix socket, and for an entry without a usable
	// address.
	Addr netip.Addr

	// Where is the source of the hop: "connection", "PROXY protocol", the name of
	// Config.SingleHeader, or the header with its line and the entry counted from
	// the right.
	Where string

	// Text is the hop as it was received, unchecked and without the blanks around
	// it: quote it. A long text is cut at its left end.
	Text string

	// Trusted reports whether Addr, or the unix socket, is in Config.Trusted. It
	// is false on a PROXY protocol connection.
	Trusted bool

	// Verdict is one sentence about what follows from the hop.
	Verdict string
}

// String returns the hop in one line, its text quoted.
func (h Hop) String() string {
	return fmt.Sprintf("%s %q: %s", h.Where, h.Text, h.Verdict)
}

// Explain returns the hops of req in the order in which they were read, from the peer
// on, to show why a client was found or not. The Verdict of the first hop includes how
// X-Forwarded-Proto was used, and that of the last one ends in the Reason. The same code
// makes the decisions of Explain and of [Resolver.ResolveRequest].
//
// Explain allocates. It is for diagnostic pages and for logs of single requests. With
// Config.Strip, call it before Handler, which removes headers.
func (r *Resolver) Explain(req *http.Request) []Hop {
	t := trace{name: r.name}
	var res Result
	r.resolveRequest(&res, req, &t)
	hops := []Hop{r.explainPeer(req, &res, &t)}
	if res.Reason == ProxyProtocol {
		hops = append(hops, explainMark(&res, &t))
	}
	for i, e := range t.entries {
		hops = append(hops, Hop{
			Addr:    e.addr,
			Where:   e.where,
			Text:    e.text,
			Trusted: e.trusted,
			Verdict: r.explainEntry(e, i+1, &res),
		})
	}
	if r.cfg.Proto && !r.readsXForwardedProto() && r.usedHops(&res) > 0 {
		hop := &hops[res.Hops]
		if res.Proto != "" {
			hop.Verdict += "; its proto is " + res.Proto
		} else {
			hop.Verdict += "; its proto is neither http nor https"
		}
	}
	hops[len(hops)-1].Verdict += " [" + res.Reason.String() + "]"
	return hops
}

// explainPeer returns the hop of the connection.
func (r *Resolver) explainPeer(req *http.Request, res *Result, t *trace) Hop {
	hop := Hop{Addr: res.Peer, Where: "connection", Text: shorten(req.RemoteAddr)}
	switch res.Reason {
	case NoPeer:
		hop.Verdict = explainNoPeer(req)
	case UntrustedPeer:
		hop.Verdict = "not trusted, so it is the client"
	case UntrustedHeader:
		hop.Verdict = "not trusted, so it is the client, and its forwarding headers are ignored; if it is a proxy, add it to Config.Trusted"
	case ProxyProtocol:
		hop.Text = addrText(res.Peer)
		hop.Verdict = "the connection came through a PROXY protocol listener, so no forwarding header is read"
	case NoHeader:
		hop.Trusted = true
		hop.Verdict = "trusted, but the request has no " + r.name + r.explainProto(req.Header, res)
	default:
		hop.Trusted = true
		hop.Verdict = "trusted, so its " + r.name + " is read" + r.explainProto(req.Header, res)
	}
	if t.trustsAll {
		hop.Verdict += " (no peer is trusted, because Config.Trusted covers at least half of the Internet and AllowTrustAll is not set)"
	}
	return hop
}

func explainNoPeer(req *http.Request) string {
	peer, isIP := parsePeer(req.RemoteAddr)
	switch onUnix := unixSocket(req.Context()) != nil; {
	case !onUnix && isIP && peer.IsUnspecified():
		return "the unspecified address identifies no host, so nothing is known and the headers are ignored"
	case !onUnix:
		return "not an address and a port, so nothing is known and the headers are ignored"
	case isIP:
		return "an IP address on a unix socket, which proves nothing, so the headers are ignored"
	}
	return "a peer on a unix socket, and Config.Trusted does not have the keyword unix, so the headers are ignored"
}

// explainProto returns the sentence about X-Forwarded-Proto of a trusted peer.
func (r *Resolver) explainProto(h http.Header, res *Result) string {
	if !r.readsXForwardedProto() {
		return ""
	}
	lines := h[xForwardedProto]
	if !r.cfg.Proto {
		if len(lines) == 0 {
			return ""
		}
		return "; X-Forwarded-Proto is ignored, because Config.Proto is not set"
	}
	value := shorten(strings.Join(lines, ", "))
	hops := r.usedHops(res)
	proto, f := listedProto(lines, hops)
	switch f {
	case protoAbsent:
		return "; it has no X-Forwarded-Proto"
	case protoOther:
		return fmt.Sprintf("; X-Forwarded-Proto %q is ignored, because it is neither http nor https", value)
	case protoDiffers:
		return fmt.Sprintf("; X-Forwarded-Proto %q is ignored, because its values differ", value)
	case protoTooMany:
		return fmt.Sprintf("; X-Forwarded-Proto %q is ignored, because it has more values than Result.Hops (%d)", value, hops)
	}
	return "; X-Forwarded-Proto is " + proto
}

// explainMark returns the hop of the client of a PROXY protocol connection.
func explainMark(res *Result, t *trace) Hop {
	hop := Hop{Addr: res.Client, Where: "PROXY protocol", Text: addrText(res.Client), Verdict: "the client"}
	switch {
	case t.directProxy:
		hop.Verdict = "the client is not known: the connection has no PROXY header, and its peer is in Config.Trusted, so it is a proxy"
	case !res.ClientKnown():
		hop.Verdict = "the client is not known"
	}
	return hop
}

// explainEntry returns the hop of entry n from the right.
func (r *Resolver) explainEntry(e tracedEntry, n int, res *Result) string {
	why := "trusted"
	switch {
	case r.cfg.SingleHeader != "":
		why = "the header has one address"
	case r.cfg.TrustedHops > 0:
		why = fmt.Sprintf("Config.TrustedHops is %d", r.cfg.TrustedHops)
	case !e.trusted:
		why = "not trusted"
	}
	switch {
	case e.fault != faultNone:
		return e.fault.String() + ", so the hop before it is the last one that is known"
	case r.cfg.SingleHeader != "":
		return why + ", so it is the client"
	case res.ClientKnown() && n == res.Hops:
		return why + ", so it is the client; nothing to the left of it is read"
	case n < res.Hops || res.Reason.endsAtEntry():
		return why + ", so the next entry is read"
	case res.Reason == TooManyHops:
		return fmt.Sprintf("%s, but Config.MaxHops is %d and there are more entries", why, r.cfg.MaxHops)
	}
	return why + ", but there is no further entry"
}

// endsAtEntry reports whether an entry that could not be used ended the walk.
func (r Reason) endsAtEntry() bool { return r == Malformed || r == Obfuscated }

// addrText returns a as text, or "" if there is no address.
func addrText(a netip.Addr) string {
	if !a.IsValid() {
		return ""
	}
	return a.String()
}

// shorten returns the right end of a text that is too long to print.
func shorten(s string) string {
	const most = maxToken
	if len(s) <= most {
		return s
	}
	return "…" + s[len(s)-most:]
}
