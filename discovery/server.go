package discovery

import (
	"net/http"
	"sync/atomic"
)

// ServerConfig configures a [Server].
type ServerConfig struct {
	// Session returns the account that a request is signed in to, for the JMAP
	// session (RFC 8620 section 2). The answer to an error that is or wraps
	// [ErrUnauthenticated] is 401 with the challenge, to one that is or wraps
	// [ErrUnavailable] 503, and to any other error 500 without detail.
	// It may run concurrently. If it is nil, requests for the session go to Next.
	Session func(*http.Request) (Account, error)

	// OnError is called when a request for the session is answered with 500 or 503, with
	// the error of Session, or an [*Error] if the Account breaks a rule of RFC 8620.
	// It may run concurrently. If it is nil, the error is dropped.
	OnError func(*http.Request, error)

	// Next handles requests that are not for a document. The prefix of the base is
	// removed from URL.Path and URL.RawPath, so that "/login" is registered once,
	// whether the proxy strips the prefix or not. RequestURI is not changed. An endpoint
	// of the Config whose own path begins with the prefix, such as "/auth/token" on
	// https://example.com/auth, arrives unchanged in both cases. An endpoint that is the
	// prefix and a slash arrives unchanged only through a proxy that does not strip. If
	// Next is nil, the answer is 404.
	//
	// The server accepts both forms of the path, because it cannot detect whether the
	// proxy strips the prefix: on https://example.com/mail a proxy that strips it sends
	// /mail/admin for /mail/mail/admin, and Next gets /admin for each. Put access rules
	// into Next, which gets one form of the path. A rule in the proxy must match the path
	// with the prefix once, twice and not at all.
	Next http.Handler
}

// A Server is an [http.Handler] that serves a [Set]. Swap replaces the Set while requests run.
type Server struct {
	config  ServerConfig
	current atomic.Pointer[Set]
}

// NewServer returns a server for the documents of set. If set is nil, the server has no
// documents until the first [Server.Swap].
func NewServer(set *Set, c ServerConfig) *Server {
	s := &Server{config: c}
	s.current.Store(set)
	return s
}

// Current returns the Set that new requests are served from. A handler that needs the
// issuer, a challenge or a URL calls Current once for each request.
func (s *Server) Current() *Set { return s.current.Load() }

// Swap replaces the Set, for all documents at once, and returns the one before.
// Requests that run keep theirs. If set is nil, Swap returns the current Set and does not
// replace it, so that the result of a failed [Build] cannot remove the documents.
func (s *Server) Swap(set *Set) *Set {
	if set == nil {
		return s.current.Load()
	}
	return s.current.Swap(set)
}

// ServeHTTP serves all documents, on every listener and for every host name of the
// server, and passes other requests on to ServerConfig.Next.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	set := s.current.Load()
	route, ok := set.find(r.URL.Path, r.URL.RawPath)
	switch {
	case !ok, route.document == JMAPDocument && s.config.Session == nil:
		s.next(set, w, r)
	case route.dynamic != nil:
		route.dynamic(s, set, w, r)
	case route.location != "":
		serveRedirect(w, r, set, route.location)
	case route.byHost != nil:
		serveDocument(w, r, set, route.byHost[hostname(r.Host)])
	default:
		serveDocument(w, r, set, route.static)
	}
}

// next passes on a request that is not for a document.
func (s *Server) next(set *Set, w http.ResponseWriter, r *http.Request) {
	if s.config.Next == nil {
		notFound(w, r)
		return
	}
	if set != nil && set.prefix != "" {
		if u, ok := set.stripURL(r.URL); ok {
			stripped := *r
			stripped.URL = u
			r = &stripped
		}
	}
	s.config.Next.ServeHTTP(w, r)
}
