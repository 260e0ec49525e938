package forwarded

import (
	"context"
	"net/http"
)

// Handler returns a handler that resolves every request on its own (a proxy
// sends the requests of many clients over one connection) and passes it on to
// next with the [Result] in its context, for [FromContext]. RemoteAddr stays what
// it is, the connection's peer.
//
// With Config.Strip it deletes from the request's header, under any case and with
// _ in place of - (CGI and its descendants take the two for the same):
//
//   - Forwarded and X-Forwarded, alone or with anything after another dash:
//     X-Forwarded-For, -Host, -Proto, -Port, -Prefix, -Server, -By, …
//   - X-Real-IP
//
// except those that were believed: Config.Header, if Result.Hops is not 0, and
// X-Forwarded-Proto, if Result.Proto was taken from it. Config.Header stays as it
// came, with the client's own claims left of the answer. Other headers that only
// one vendor's proxy sends, such as CF-Connecting-IP, stay too.
//
// The header map is not copied: handlers that wrap this one see it without the
// deleted headers once the request has passed. To log them, use Config.Observe,
// which is called before.
//
// It panics if next is nil.
func (r *Resolver) Handler(next http.Handler) http.Handler {
	if next == nil {
		panic("forwarded: Resolver.Handler was called with a nil handler: pass the one to call next")
	}
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		ctx := &resultContext{Context: req.Context(), result: r.ResolveRequest(req)}
		req = req.WithContext(ctx)
		if r.cfg.Observe != nil {
			r.cfg.Observe(req, ctx.result)
		}
		if r.cfg.Strip {
			r.strip(req.Header, ctx.result)
		}
		next.ServeHTTP(w, req)
	})
}

// FromContext returns the Result that [Resolver.Handler] put into the context of
// a request. False means that the request did not pass it.
func FromContext(ctx context.Context) (Result, bool) {
	if res, ok := ctx.Value(resultKey{}).(*Result); ok {
		return *res, true
	}
	return Result{}, false
}

type resultKey struct{}

// A resultContext holds a Result in one allocation, where context.WithValue needs
// two.
type resultContext struct {
	context.Context
	result Result
}

func (c *resultContext) Value(key any) any {
	if key == (resultKey{}) {
		return &c.result
	}
	return c.Context.Value(key)
}
