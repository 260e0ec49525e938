// Copy ConnContext, newResolver, forwardedClient, which evaluates the Result, and the timeouts.
// Without ConnContext handlers do not get the client, and package forwarded would use headers on a
// PROXY listener. Change the handlers.

package main

import (
	"cmp"
	"context"
	"fmt"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/seed-94e48765/portico/discovery"
	"github.com/seed-94e48765/portico/examples/mailfront/internal/client"
	"github.com/seed-94e48765/portico/examples/mailfront/internal/signin"
	"github.com/seed-94e48765/portico/examples/mailfront/internal/webauth"
	"github.com/seed-94e48765/portico/examples/mailfront/internal/webpage"
	"github.com/seed-94e48765/portico/forwarded"
	"github.com/seed-94e48765/portico/proxyproto"
)

// A webServer is an http.Server with or without TLS. Server.TLSConfig does not distinguish the two,
// because the first call of Serve sets it in both cases.
type webServer struct {
	*http.Server
	tls bool
}

// Serve may be called several times.
func (s webServer) Serve(l net.Listener) error {
	if s.tls {
		return s.ServeTLS(l, "", "") // with HTTP/2, unlike Serve on a tls.Listener
	}
	return s.Server.Serve(l)
}

// Shutdown closes the connections that remain when ctx ends.
func (s webServer) Shutdown(ctx context.Context) error {
	if err := s.Server.Shutdown(ctx); err != nil {
		return s.Close()
	}
	return nil
}

func (f *frontend) newWebServer(listener string) server {
	s := &http.Server{
		Handler:           f.webHandler(listener),
		ReadHeaderTimeout: 10 * time.Second,
		ReadTimeout:       30 * time.Second,
		WriteTimeout:      30 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    64 << 10,
		HTTP2:             &http.HTTP2Config{MaxConcurrentStreams: 32}, // each stream may hold a form in memory
		ErrorLog:          libraryLog(f.log, listener),
	}
	if f.cfg.proxy[listener] {
		s.ConnContext = proxyproto.ConnContext
	}
	onTLS := strings.HasSuffix(listener, "s")
	if onTLS {
		s.TLSConfig = f.tls.Clone()
	}
	s.RegisterOnShutdown(f.endWeb) // ends the event streams, which would last until the end of ctx
	return webServer{s, onTLS}
}

// openWeb builds the handler of both web listeners: the documents and all endpoints that they refer
// to.
func (f *frontend) openWeb() error {
	f.webEnding, f.endWeb = context.WithCancel(context.Background())
	mux := http.NewServeMux()
	var err error
	f.api = &webauth.Auth{
		Account: f.cfg.account(), Password: f.mail.login, Guard: f.guard, Log: f.log,
		Current: func() *discovery.Set { return f.documents.Current() },
	}
	f.admin = newAdmin(f)
	if f.documents, err = f.newDocuments(f.admin.under(mux)); err != nil {
		return err
	}
	if len(f.cfg.issuers) > 0 {
		f.warnOfIntrospection()
		issuers := webauth.NewIssuers(webauth.IssuersConfig{
			Issuers: f.cfg.issuers, Account: f.cfg.account(), Audience: f.audience, Introspection: f.cfg.introspectionIssuer,
			ClientID: f.cfg.introspectionID, ClientSecret: f.cfg.introspectionSecret, Guard: f.guard, Log: f.log,
		})
		f.api.Tokens, f.login = issuers, f.newLogin(issuers.Check)
	} else {
		signIn, err := signin.New(f.api, f.cfg.clients, f.store)
		if err != nil {
			return err
		}
		f.api.Tokens, f.signIn, f.login = signIn, signIn, f.newLogin(signIn.Caller)
		signIn.Routes(mux)
	}
	newJMAPServer(f).routes(mux)
	f.davRoutes(mux)
	mux.HandleFunc("GET /whoami", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		webauth.NoStore(w)
		fmt.Fprintln(w, client.FromRequest(r).JSON())
	})
	return nil
}

// audience returns the audience that tokens of other issuers must have.
func (f *frontend) audience() string {
	return cmp.Or(f.cfg.tokenAudience, f.documents.Current().Base().String())
}

func (f *frontend) webHandler(listener string) http.Handler {
	h := http.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		f.moveOn(w)
		cl := f.clientOfRequest(listener, r)
		w, done := f.logRequest(w, r, cl)
		defer done()
		client.LogForwarding(f.limited, cl)
		if f.guard.RefuseBanned(w, cl) || r.Header.Get("Authorization") != "" && f.api.RefusePlaintext(w, cl) {
			return
		}
		if f.refuseWaiting(w) {
			return
		}
		f.documents.ServeHTTP(w, client.WithRequest(r, cl))
	}))
	if !f.cfg.proxy[listener] {
		h = f.resolvers[listener].Handler(h)
	}
	return webpage.Errors(client.RememberForwarding(h))
}

// newResolvers returns the resolvers of the listeners that use forwarding headers.
func newResolvers(cfg *config) (map[string]*forwarded.Resolver, error) {
	resolvers := make(map[string]*forwarded.Resolver)
	for _, name := range []string{"http", "https"} {
		if cfg.proxy[name] {
			continue
		}
		c := cfg.forwarded
		c.Trusted = cfg.trusted.of[name].live
		c.Strip = true // handlers get only the headers that were used
		r, err := forwarded.New(c)
		if err != nil {
			return nil, fmt.Errorf("mailfront: the %s listener: %w", name, err)
		}
		resolvers[name] = r
	}
	return resolvers, nil
}

// clientOfRequest determines the client by the mechanism of the listener.
func (f *frontend) clientOfRequest(listener string, r *http.Request) client.Client {
	if f.cfg.proxy[listener] {
		return client.FromProxyHeader(f.cfg.listener(listener), r)
	}
	return client.FromForwarded(f.cfg.listener(listener), r, !f.cfg.forwarded.Proto && f.cfg.tlsPath[listener] == proxyproto.TerminatedTLS)
}
