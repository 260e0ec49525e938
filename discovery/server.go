package discovery

import (
	"net/http"
	"sync/atomic"
)

// ServerConfig configures a [Server].
type ServerConfig struct {
	// Session returns the account that a request is signed in to, for the JMAP
	// session (RFC 8620 section 2). [ErrUnauthenticated], also wrapped, is answered
	// with 401 and the challenge, [ErrUnavailable] with 503, and any other error with
	// 500 without detail.
	// It may run concurrently. If it is nil, requests for the session go to Next.
	Session func(*http.Request) (Account, error)

	// OnError is called when a request for the session is answered with 500 or 503, with
	// the error of Session, or an [*Error] if the Account breaks a rule of RFC 8620.
	// It may run concurrently. If it is nil, the error is dropped.
	OnError func(*http.Request, error)

	// Next handles requests that are not for a document. URL.Path and URL.RawPath have lost the
	// prefix of the base if they had it, so that "/login" is registered once,
	// whether the proxy strips the prefix or not; RequestURI stays as it was.
	// An endpoint of the Config whose own path begins with the prefix, such as
	// "/auth/token" on https://example.com/auth, arrives whole in both cases;
	// one that is the prefix and a slash only through a proxy that does not strip.
	// If it is nil, the answer is 404.
	//
	// The server cannot tell whether the proxy strips the prefix, so it takes both:
	// on https://example.com/mail a proxy that strips it sends /mail/admin for
	// /mail/mail/admin, and Next sees /admin for each. Rules for who may see what
	// belong into Next, behind the one form of the path. A rule in the proxy has to
	// name the path with the prefix once, twice and not at all.
	Next http.Handler
}

// A Server is an [http.Handler] that serves a [Set], which can be replaced while it does.
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

// Current returns the Set that new requests are served from. A handler that needs
// the issuer, a challenge or a URL asks once and keeps the answer for its request.
func (s *Server) Current() *Set { return s.current.Load() }

// Swap replaces the Set, for all documents at once, and returns the one before.
// Requests that run keep theirs. A nil set changes nothing, so that the result of
// a failed [Build] cannot take the documents away; it returns the current one.
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

// next passes on a request that is for no document.
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
