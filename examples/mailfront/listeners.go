// Copy open, which connects a socket to a server, and shutdown, which ends them in the right order.
// Change the names and their servers.

package main

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"text/tabwriter"
	"time"

	"github.com/seed-94e48765/portico/discovery"
	"github.com/seed-94e48765/portico/examples/mailfront/internal/client"
	"github.com/seed-94e48765/portico/examples/mailfront/internal/gate"
	"github.com/seed-94e48765/portico/examples/mailfront/internal/guard"
	"github.com/seed-94e48765/portico/examples/mailfront/internal/mailauth"
	"github.com/seed-94e48765/portico/examples/mailfront/internal/msgauth"
	"github.com/seed-94e48765/portico/examples/mailfront/internal/signin"
	"github.com/seed-94e48765/portico/examples/mailfront/internal/store"
	"github.com/seed-94e48765/portico/examples/mailfront/internal/webauth"
	"github.com/seed-94e48765/portico/forwarded"
	"github.com/seed-94e48765/portico/proxyproto"
)

const (
	// mailPatience is how long a client of a listener that receives mail may go on without a message
	// or a login. RFC 5321 section 4.5.3.2 allows minutes for every step.
	mailPatience = 30 * time.Minute
	// loginPatience is the same for listeners on which a client has to log in first.
	loginPatience = 5 * time.Minute
)

// patienceOf returns how long a client of a mail listener may go on without success.
func patienceOf(listener string) time.Duration {
	if strings.HasPrefix(listener, "smtp") {
		return mailPatience
	}
	return loginPatience
}

// A server has the methods that go-smtp, net/http and package pop3d have in common.
type server interface {
	Serve(net.Listener) error
	Shutdown(context.Context) error
}

// A frontend is a running instance of mailfront.
type frontend struct {
	cfg       *config
	log       *slog.Logger
	limited   *client.LimitedLog // for events that a client can cause without limit
	tls       *tls.Config
	resolvers map[string]*forwarded.Resolver // by name of the listener
	mail      *mailbox
	guard     *guard.Guard
	store     store.Store   // shared by the nodes
	watched   *watchedStore // store, if nodes share it; nil otherwise
	checked   bool          // the warnings about the store were logged
	followed  sync.WaitGroup
	auth      *msgauth.Checker
	documents *discovery.Server
	api       *webauth.Auth     // for the web listeners
	login     *mailauth.Checker // for the mail listeners
	signIn    *signin.Provider  // nil if other identity providers are configured
	admin     *admin
	listeners []*listener
	health    *healthListener
	phase     atomic.Int32    // starting, serving or draining
	broken    chan error      // gets the error of a listener that fails
	ctx       context.Context // ends after the grace period of shutdown
	cancel    context.CancelFunc

	closeGuard  func()
	certificate atomic.Pointer[tls.Certificate] // the certificate that tls returns

	webEnding context.Context // ends when the web listeners begin to shut down
	endWeb    context.CancelFunc
}

// A listener is a listener for clients with the servers behind it.
type listener struct {
	name     string
	sockets  []socket // one for each address
	servers  []server
	served   sync.WaitGroup
	sessions *gate.Sessions
}

// A socket is one address of a listener.
type socket struct {
	inner net.Listener         // above proxy
	proxy *proxyproto.Listener // above the socket; trusts no peer if forwarding headers supply the client
}

func (l *listener) close() {
	for _, s := range l.sockets {
		s.inner.Close()
	}
}

// start opens and serves all listeners. After an error every listener is closed.
func start(cfg *config, log *slog.Logger) (started *frontend, err error) {
	defer func() {
		if err != nil {
			cfg.store.Close()
		}
	}()
	cert, err := loadCertificate(cfg, cfg.base)
	if err != nil {
		return nil, err
	}
	resolvers, err := newResolvers(cfg)
	if err != nil {
		return nil, err
	}
	f := &frontend{
		cfg:       cfg,
		log:       log,
		limited:   client.NewLimitedLog(log),
		resolvers: resolvers,
		store:     cfg.store,
		mail:      newMailbox(cfg.account(), cfg.password),
		guard:     guard.New(cfg.limits, &cfg.trusted.all, log),
		auth:      msgauth.New("", false),
		broken:    make(chan error, 1),
	}
	f.ctx, f.cancel = context.WithCancel(context.Background())
	defer func() {
		if err != nil {
			f.cancel()
		}
	}()
	if path := cfg.stateFile.path; path != "" {
		if err := f.mail.imap.keep(path+uidValidityFile, log); err != nil {
			return nil, fmt.Errorf("mailfront: cannot read the last UIDVALIDITY, which is kept next to MAILFRONT_STATE: %w", err)
		}
	}
	if cfg.redis != nil {
		f.watched = newWatchedStore(cfg.store, log)
		f.store = f.watched
		if err := f.checkStore(context.Background()); err != nil && !errors.Is(err, store.ErrUnavailable) {
			return nil, err
		}
	}
	if f.closeGuard, err = f.openGuard(); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			f.closeGuard()
		}
	}()
	f.certificate.Store(cert)
	f.tls = newTLSConfig(&f.certificate)
	if err := f.openHealth(); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			f.closeHealth()
		}
	}()
	if err := f.openWeb(); err != nil {
		return nil, err
	}
	if err := f.watchTrusted(); err != nil {
		return nil, err
	}
	f.firstState()
	for _, name := range listenerNames {
		if !cfg.isOpen(name) {
			continue
		}
		l := &listener{name: name, sessions: gate.NewSessions()}
		f.listeners = append(f.listeners, l)
		if err := f.open(l); err != nil {
			for _, l := range f.listeners {
				l.close()
			}
			return nil, err
		}
	}
	for _, l := range f.listeners {
		f.serve(l)
	}
	if f.watched != nil {
		f.followed.Go(func() { f.follow(f.ctx) })
		f.followed.Go(func() { f.followKeys(f.ctx) })
	}
	f.phase.Store(serving)
	f.warnOfDefaultDomain()
	f.warnOfRelaying()
	return f, nil
}

// open builds the layers in their order: TCP, then PROXY. TLS follows in receive or in net/http.
func (f *frontend) open(l *listener) error {
	for _, a := range f.cfg.listen[l.name] {
		tcp, err := a.listen()
		if err != nil {
			return err
		}
		inner := &gate.Listener{Name: l.name, Proxy: f.cfg.proxy[l.name], Log: f.limited}
		// If forwarding headers supply the client, no peer is trusted. The Listener then only rejects
		// and reports the PROXY headers of a proxy that uses the wrong port.
		config := proxyproto.Config{OnReject: func(r proxyproto.Rejection) { inner.ReportHeader(client.IPOf(r.Peer)) }}
		if inner.Proxy {
			trusted := f.cfg.trusted.of[l.name]
			config = proxyproto.Config{Trusted: trusted.live, TLS: f.cfg.tlsPath[l.name], OnReject: logRejection(f.limited, l.name, trusted.From)}
		}
		proxy, err := proxyproto.New(tcp, config)
		if err != nil {
			tcp.Close()
			return fmt.Errorf("mailfront: the %s listener: %w", l.name, err)
		}
		inner.Listener = proxy
		l.sockets = append(l.sockets, socket{inner, proxy})
	}
	return nil
}

// serve starts the servers of a listener: one for a web listener, and one for each offer for a mail
// listener.
func (f *frontend) serve(l *listener) {
	var newServer func(*frontend, string, gate.Offer) server
	switch strings.TrimSuffix(l.name, "s") {
	case "http":
		s := f.newWebServer(l.name)
		l.servers = append(l.servers, s)
		for _, socket := range l.sockets {
			f.run(l, s, f.guard.Listen(f.cfg.listener(l.name), socket.inner))
		}
		return
	case "smtp", "submission":
		newServer = newSMTPServer
	case "imap":
		newServer = newIMAPServer
	case "pop3":
		newServer = newPOP3Server
	}
	r := &gate.Receiver{
		Context: f.ctx, Listener: f.cfg.listener(l.name), Patience: patienceOf(l.name), Sessions: l.sessions, Guard: f.guard, Log: f.log,
	}
	if strings.HasSuffix(l.name, "s") {
		r.TLS = f.tls
	}
	for i := range gate.Offers {
		l.servers = append(l.servers, newServer(f, l.name, i))
	}
	for _, socket := range l.sockets {
		for i, side := range proxyproto.Split(socket.inner, int(gate.Offers), r.Receive) {
			f.run(l, l.servers[i], side)
		}
	}
}

// run makes a server of a listener serve ln, too.
func (f *frontend) run(l *listener, s server, ln net.Listener) {
	l.served.Go(func() {
		if err := s.Serve(ln); err != nil && !errors.Is(err, net.ErrClosed) {
			f.breaks(l.name, err)
		}
	})
}

// breaks ends the program with the error of a listener.
func (f *frontend) breaks(listener string, err error) {
	select {
	case f.broken <- fmt.Errorf("mailfront: the %s listener failed: %w", listener, err):
	default:
	}
}

// shutdown ends everything and returns when all servers have stopped. Sessions that take longer
// than grace are closed.
func (f *frontend) shutdown(grace time.Duration) error {
	f.phase.Store(draining)
	defer f.closeHealth()
	ctx, cancel := context.WithTimeout(context.Background(), grace)
	defer cancel()
	context.AfterFunc(ctx, f.cancel)
	errs := make([]error, len(f.listeners))
	var all sync.WaitGroup
	for i, l := range f.listeners {
		all.Go(func() { errs[i] = f.end(ctx, l) })
	}
	all.Wait()
	f.cancel()
	f.followed.Wait()
	f.closeGuard()
	return errors.Join(append(errs, f.store.Close())...)
}

// end shuts a listener down in the order that proxyproto.Listener.Shutdown requires: first the
// listener, so that every accepted connection reaches its server, and then the server.
func (f *frontend) end(ctx context.Context, l *listener) error {
	errs := make([]error, len(l.sockets))
	var all sync.WaitGroup
	for i, s := range l.sockets {
		all.Go(func() { errs[i] = s.proxy.Shutdown(ctx) })
	}
	all.Wait()
	err := errors.Join(errs...)
	l.served.Wait()
	// go-imap can only close its connections, so wait for them first. The other servers can wait, but
	// do not close the connections that remain.
	if cut := l.sessions.Wait(ctx); cut > 0 {
		f.log.Warn("sessions cut at shutdown", "proto", l.name, "number", cut)
	}
	if ctx.Err() != nil {
		var cancel context.CancelFunc // give the servers time to return
		ctx, cancel = context.WithTimeout(context.Background(), time.Second)
		defer cancel()
	}
	for _, s := range l.servers {
		if e := s.Shutdown(ctx); e != nil && !errors.Is(e, net.ErrClosed) {
			err = errors.Join(err, fmt.Errorf("mailfront: the %s listener: %w", l.name, e))
		}
	}
	return err
}

// describe prints the table of listeners. It also prints the account if its password is random.
func (f *frontend) describe(w io.Writer) error {
	var out strings.Builder
	t := tabwriter.NewWriter(&out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "LISTENER\tADDRESS\tCLIENT BY\tTLS PATH")
	for _, l := range f.listeners {
		by := "forwarded"
		if f.cfg.proxy[l.name] {
			by = "proxy"
		}
		path := strings.ToLower(strings.TrimSuffix(f.cfg.tlsPath[l.name].String(), "TLS"))
		for _, s := range l.sockets {
			fmt.Fprintf(t, "%s\t%s\t%s\t%s\n", l.name, s.inner.Addr(), by, path)
		}
	}
	for _, s := range f.health.sockets {
		fmt.Fprintf(t, "%s\t%s\t-\t-\n", healthName, s.Addr())
	}
	t.Flush()
	if f.cfg.passwordIsRandom {
		fmt.Fprintf(&out, "account %s password %s\n", f.cfg.account(), f.cfg.password)
	}
	fmt.Fprintf(&out, "mode %s base %s\n", f.admin.mode(), cmp.Or(f.documents.Current().Base().String(), "none yet"))
	if _, err := io.WriteString(w, out.String()); err != nil {
		return err
	}
	f.admin.describe(w)
	return nil
}

// addr returns the first address of a listener, or nil if the listener is off.
func (f *frontend) addr(name string) net.Addr {
	for _, l := range f.listeners {
		if l.name == name {
			return l.sockets[0].inner.Addr()
		}
	}
	return nil
}
