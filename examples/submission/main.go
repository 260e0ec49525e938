// Submission is the smallest useful server with Portico, in one file. It serves SMTP behind
// HAProxy, which ends the clients' TLS, and the documents by which mail clients find the
// server. ../mailfront is the complete sample.
//
//	SUBMISSION_PASSWORD=$(cat password) go run ./examples/submission -trusted 127.0.0.1
//	TLS_PEM=cert-and-key.pem haproxy -db -f examples/submission/haproxy.cfg
//
// Ports 465 and 443 usually need root. For others set, for example, HAProxy's variables
// SUBMISSIONS_FRONT=127.0.0.1:20465 HTTPS_FRONT=127.0.0.1:20443. Users of -domain sign in and
// send to any address. Other clients may send to -domain unless SPF fails. Accepted mail is
// logged and dropped. Replace session.Data to deliver it.
package main

import (
	"context"
	"crypto/subtle"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"blitiri.com.ar/go/spf"
	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"

	"github.com/seed-94e48765/portico/discovery"
	"github.com/seed-94e48765/portico/proxyproto"
	"github.com/seed-94e48765/portico/publicurl"
	"github.com/seed-94e48765/portico/trustnet"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Getenv("SUBMISSION_PASSWORD"), func(smtp, http net.Addr) { slog.Info("serving", "smtp", smtp, "http", http) }); err != nil {
		slog.Error(err.Error())
		os.Exit(1)
	}
}

// run serves until ctx is done.
func run(ctx context.Context, args []string, password string, started func(smtp, http net.Addr)) error {
	flags := flag.NewFlagSet("submission", flag.ExitOnError)
	smtpAddr := flags.String("smtp", "127.0.0.1:10465", "`address` for HAProxy's SMTP connections")
	httpAddr := flags.String("http", "127.0.0.1:18080", "`address` for HAProxy's HTTP connections")
	trusted := flags.String("trusted", "", "comma-separated `networks` that HAProxy connects from")
	host := flags.String("host", "mail.example.com", "public host `name`")
	domain := flags.String("domain", "example.com", "mail `domain`")
	flags.Parse(args)
	if password == "" || *trusted == "" {
		return errors.New("submission: set SUBMISSION_PASSWORD to the password of every user, and -trusted to the address that HAProxy connects from, such as 127.0.0.1")
	}
	proxies, err := trustnet.Parse(strings.Split(*trusted, ",")...)
	if err != nil {
		return fmt.Errorf("submission: -trusted: %w", err)
	}
	base, err := publicurl.FromHostname(*host)
	if err != nil {
		return fmt.Errorf("submission: -host: %w", err)
	}
	set, err := discovery.Build(discovery.Config{Base: base, Mail: &discovery.Mail{ // on port 465 of HAProxy
		Domains:  []string{*domain},
		Services: []discovery.Service{{Protocol: discovery.Submission}},
	}})
	if err != nil {
		return fmt.Errorf("submission: -host and -domain: %w", err)
	}
	web := &http.Server{Handler: discovery.NewServer(set, discovery.ServerConfig{}), ReadHeaderTimeout: 10 * time.Second}
	mail := smtp.NewServer(smtp.BackendFunc(func(c *smtp.Conn) (smtp.Session, error) {
		s := &session{conn: c, domain: *domain, password: password}
		if info, ok := proxyproto.FromConn(c.Conn()); ok {
			s.address = info.ClientAddr().Addr()
		}
		s.secure, _ = proxyproto.Secure(c.Conn()) // false if it is not known
		return s, nil
	}))
	mail.Domain, mail.AllowInsecureAuth = *host, true // go-smtp sees no TLS; AuthMechanisms checks the client's TLS
	mail.ReadTimeout, mail.WriteTimeout, mail.MaxMessageBytes, mail.MaxRecipients = 5*time.Minute, 5*time.Minute, 10<<20, 100
	smtpListener, err := listen("smtp", *smtpAddr, proxies)
	if err != nil {
		return err
	}
	httpListener, err := listen("http", *httpAddr, proxies)
	if err != nil {
		return errors.Join(err, smtpListener.Close())
	}
	started(smtpListener.Addr(), httpListener.Addr())
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	ended := make(chan error)
	go func() { ended <- serve(ctx, smtpListener, mail) }()
	go func() { ended <- serve(ctx, httpListener, web) }()
	err = <-ended
	cancel() // if one server fails, both end
	return errors.Join(err, <-ended)
}

// serve ends when ctx is done. The listener ends first, so that no accepted connection is
// lost. Open sessions have ten seconds.
func serve(ctx context.Context, l *proxyproto.Listener, s interface {
	Serve(net.Listener) error
	Shutdown(context.Context) error
}) error {
	served := make(chan error, 1)
	go func() { served <- s.Serve(l) }()
	select {
	case err := <-served:
		return err
	case <-ctx.Done():
	}
	grace, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	err := l.Shutdown(grace)
	<-served
	return errors.Join(err, s.Shutdown(grace))
}

// listen requires PROXY headers from proxies. Other peers are direct clients.
func listen(name, addr string, proxies *trustnet.Set) (*proxyproto.Listener, error) {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, err
	}
	return proxyproto.New(l, proxyproto.Config{
		Trusted: proxies,
		OnReject: func(r proxyproto.Rejection) {
			slog.Warn("connection refused: see -trusted and HAProxy's send-proxy-v2-ssl", "listener", name, "peer", r.Peer, "err", r.Err)
		},
	})
}

// session is one client. address is the zero value if the client is not known, as for a
// health check of HAProxy.
type session struct {
	conn                   *smtp.Conn
	address                netip.Addr
	secure, signedIn       bool
	domain, password, from string
	spf                    spf.Result
}

// AuthMechanisms offers passwords only to clients on TLS.
func (s *session) AuthMechanisms() []string {
	if s.secure {
		return []string{sasl.Plain}
	}
	return nil
}

func (s *session) Auth(mechanism string) (sasl.Server, error) {
	if !s.secure || mechanism != sasl.Plain { // RFC 4954 section 4
		return nil, smtp.ErrAuthUnsupported
	}
	return sasl.NewPlainServer(func(_, user, password string) error {
		if s.signedIn = strings.HasSuffix(user, "@"+s.domain) && subtle.ConstantTimeCompare([]byte(password), []byte(s.password)) == 1; s.signedIn {
			return nil
		}
		slog.Warn("wrong password", "user", user, "client", s.address) // limit this address, unless it is the zero value
		return smtp.ErrAuthFailed
	}), nil
}

// lookUpSPF is replaced by the test.
var lookUpSPF = spf.CheckHostWithSender

func (s *session) Mail(from string, _ *smtp.MailOptions) error {
	s.from, s.spf = from, spf.None
	if !s.signedIn && s.address.IsValid() { // the proxy's address is never checked
		s.spf, _ = lookUpSPF(s.address.AsSlice(), s.conn.Hostname(), from)
	}
	if s.spf == spf.Fail {
		return &smtp.SMTPError{Code: 550, EnhancedCode: smtp.EnhancedCode{5, 7, 23}, Message: "SPF validation failed"} // RFC 7372
	}
	return nil
}

func (s *session) Rcpt(to string, _ *smtp.RcptOptions) error {
	if !s.signedIn && !strings.HasSuffix(strings.ToLower(to), "@"+s.domain) {
		return &smtp.SMTPError{Code: 530, EnhancedCode: smtp.EnhancedCode{5, 7, 0}, Message: "Authentication required"}
	}
	return nil
}

func (s *session) Data(r io.Reader) error {
	size, err := io.Copy(io.Discard, r)
	slog.Info("message", "client", s.address, "tls", s.secure, "from", s.from, "spf", s.spf, "size", size)
	return err
}

func (s *session) Reset()        {}
func (s *session) Logout() error { return nil }
