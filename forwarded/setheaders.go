package forwarded

import (
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// SetHeaders sets the forwarding headers of out, the request that a proxy is about to
// send, according to in, the request that it received. It is for the Rewrite function of
// [net/http/httputil.ReverseProxy]:
//
//	Rewrite: func(pr *httputil.ProxyRequest) {
//		pr.SetURL(backend)
//		resolver.SetHeaders(pr.Out, pr.In)
//	}
//
// It uses the Result in the context of in (see [Resolver.Handler]), or calls
// ResolveRequest. It first removes from out every header that Handler lists, and
// Config.SingleHeader. Then it sets:
//
//   - X-Forwarded-For, or Forwarded if that is Config.Header: the entries that were used,
//     then the peer. If the client is not known, the leftmost entry is "unknown", so that
//     the next server does not take a proxy for the client. After a PROXY protocol
//     connection there is one entry, the client or "unknown". A peer on a unix socket has
//     no entry.
//   - X-Forwarded-Proto, if [Result.Secure] is known. Forwarded has the same as the
//     proto parameter of its leftmost element.
//   - X-Forwarded-Host, the Host of in.
//
// Do not call SetHeaders in a Director function: after Director, ReverseProxy removes the
// headers that the client names in its Connection header, which may be X-Forwarded-For.
func (r *Resolver) SetHeaders(out, in *http.Request) {
	source, res := r, Result{}
	if c, ok := in.Context().Value(resultKey{}).(*resultContext); ok {
		source, res = c.resolver, c.result
	} else {
		res = r.ResolveRequest(in)
	}
	hops := source.chain(in.Header, &res)
	host := in.Host

	if out.Header == nil {
		out.Header = make(http.Header)
	}
	for name := range out.Header {
		if r.isForwarding(name) || source.isForwarding(name) {
			delete(out.Header, name)
		}
	}
	scheme := ""
	if secure, known := res.Secure(); secure {
		scheme = "https"
	} else if known {
		scheme = "http"
	}
	if r.cfg.Header == Forwarded {
		out.Header["Forwarded"] = []string{formatForwarded(&res, hops, scheme)}
	} else {
		out.Header[xForwardedFor] = []string{formatXForwardedFor(&res, hops)}
	}
	if scheme != "" {
		out.Header[xForwardedProto] = []string{scheme}
	}
	if host != "" {
		out.Header[xForwardedHost] = []string{host}
	}
}

// chain returns the addresses to pass on, from left to right. If the client is not
// known, they are those of proxies.
func (r *Resolver) chain(h http.Header, res *Result) []netip.Addr {
	if res.Reason == ProxyProtocol {
		if res.ClientKnown() {
			return []netip.Addr{res.Client}
		}
		return nil
	}
	hops := r.entries(h, res)
	if res.Peer.IsValid() {
		hops = append(hops, res.Peer)
	}
	return hops
}

// entries reads the entries of the header that were used again.
func (r *Resolver) entries(h http.Header, res *Result) (hops []netip.Addr) {
	if r.usedHops(res) == 0 {
		return nil
	}
	if r.cfg.SingleHeader == "" {
		l := newList(h[r.key])
		for len(hops) < res.Hops && l.more() {
			a, _, f := r.entry(&l)
			if f != faultNone {
				break
			}
			hops = append(hops, a)
		}
		slices.Reverse(hops)
	}
	if len(hops) != res.Hops || hops[0] != res.Last {
		return []netip.Addr{res.Last} // one address, or a header that has changed since
	}
	return hops
}

func formatXForwardedFor(res *Result, hops []netip.Addr) string {
	b := make([]byte, 0, 64)
	if !res.ClientKnown() {
		b = append(b, "unknown"...)
	}
	for _, a := range hops {
		if len(b) > 0 {
			b = append(b, ", "...)
		}
		b = a.AppendTo(b)
	}
	return string(b)
}

// formatForwarded writes nodes by RFC 7239 section 6: an IPv6 address is in brackets,
// and therefore in quotes, because a bracket is not a token character.
func formatForwarded(res *Result, hops []netip.Addr, scheme string) string {
	var elements []string
	if !res.ClientKnown() {
		elements = append(elements, "for=unknown")
	}
	for _, a := range hops {
		if a.Is4() {
			elements = append(elements, "for="+a.String())
		} else {
			elements = append(elements, `for="[`+a.String()+`]"`)
		}
	}
	if scheme != "" {
		elements[0] += ";proto=" + scheme
	}
	return strings.Join(elements, ", ")
}
