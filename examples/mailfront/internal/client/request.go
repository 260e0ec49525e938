package client

import (
	"context"
	"net/http"

	"github.com/seed-94e48765/portico/forwarded"
	"github.com/seed-94e48765/portico/proxyproto"
)

type clientKey struct{}

// WithRequest returns r with a context that has the client, for [FromRequest].
func WithRequest(r *http.Request, cl Client) *http.Request {
	return r.WithContext(context.WithValue(r.Context(), clientKey{}, cl))
}

// FromRequest returns the client that [WithRequest] added. Without one it returns the zero Client,
// which is not known.
func FromRequest(r *http.Request) Client {
	return FromContext(r.Context())
}

// FromContext is like [FromRequest] for the context of a request.
func FromContext(ctx context.Context) Client {
	cl, _ := ctx.Value(clientKey{}).(Client)
	return cl
}

// FromProxyHeader returns the client of a request on a PROXY listener. The server must use
// [proxyproto.ConnContext]. Every request counts as a session, because several clients may share a
// connection from an HTTP proxy.
func FromProxyHeader(l Listener, r *http.Request) Client {
	info, _ := proxyproto.FromContext(r.Context())
	cl := FromInfo(l, info)
	cl.ForwardedBy, cl.Host = forwardedBy(r), r.Host
	cl.setTLS(info.Secure(r.TLS != nil))
	return cl
}

// FromForwarded returns the client of a request behind [forwarded.Resolver.Handler]. Set tlsEnded if
// every proxy of the listener ends the TLS of its clients and does not send X-Forwarded-Proto.
func FromForwarded(l Listener, r *http.Request, tlsEnded bool) Client {
	res, _ := forwarded.FromContext(r.Context())
	cl := Client{
		Listener: l.Name, TrustedSetting: l.TrustedSetting, IP: res.Client, Last: res.Last, Known: res.ClientKnown(), Reason: res.Reason.String(),
		ForwardedBy: forwardedBy(r), Host: r.Host,
	}
	if res.Reason != forwarded.UntrustedPeer && res.Reason != forwarded.UntrustedHeader {
		cl.Proxy = res.Peer
	}
	if !cl.Known { // a health check, for example
		return cl
	}
	cl.setTLS(res.Secure())
	if !cl.TLSKnown && tlsEnded {
		cl.setTLS(true, true)
	}
	return cl
}
