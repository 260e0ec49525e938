package forwarded

import (
	"context"
	"net/http"
)

// Handler returns a handler that resolves each request on its own (a proxy sends the
// requests of many clients over one connection) and calls next with the [Result] in
// the request's context, for [FromContext]. RemoteAddr is not changed: it remains the
// address of the connection's peer.
//
// If Config.Strip is set, next gets a request without the forwarding headers that were
// not used. Names are compared without regard to case, and _ counts as - because CGI does
// not distinguish the two. The headers are:
//
//   - Forwarded and X-Forwarded, alone or followed by a dash and more:
//     X-Forwarded-For, -Host, -Proto, -Port, -Prefix, -Server, -By, …
//   - X-Real-IP, X-Client-IP, True-Client-IP, CF-Connecting-IP, CF-Connecting-IPv6,
//     Fly-Client-IP
//   - Config.SingleHeader
//
// Headers that were used remain: the configured one if Result.Hops is not 0 (with
// TrustedHops, if the client is known), and X-Forwarded-Proto if Result.Proto was taken
// from it. A list is not changed: entries that the client wrote itself remain to the left
// of the client's address.
//
// Handler does not modify the caller's request. It copies the header map only if it
// removes a header.
//
// Handler panics if next is nil.
func (r *Resolver) Handler(next http.Handler) http.Handler {
	if next == nil {
		panic("forwarded: Resolver.Handler needs the handler to call next, got nil")
	}
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		ctx := &resultContext{Context: req.Context(), resolver: r, result: r.ResolveRequest(req)}
		req = req.WithContext(ctx)
		if r.cfg.OnResolve != nil {
			r.cfg.OnResolve(req, ctx.result)
		}
		if r.cfg.Strip {
			req.Header = r.strip(req.Header, &ctx.result)
		}
		next.ServeHTTP(w, req)
	})
}

// FromContext returns the Result that [Resolver.Handler] put into the context of a
// request. It returns false if the request did not pass through such a handler.
func FromContext(ctx context.Context) (Result, bool) {
	if c, ok := ctx.Value(resultKey{}).(*resultContext); ok {
		return c.result, true
	}
	return Result{}, false
}

type resultKey struct{}

// A resultContext holds a Result in one allocation, where context.WithValue needs
// two.
type resultContext struct {
	context.Context
	resolver *Resolver
	result   Result
}

func (c *resultContext) Value(key any) any {
	if key == (resultKey{}) {
		return c
	}
	return c.Context.Value(key)
}
