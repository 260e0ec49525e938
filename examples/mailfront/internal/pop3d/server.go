// Package pop3d is a small POP3 server (RFC 1939) with CAPA (RFC 2449), STLS (RFC 2595), AUTH
// (RFC 5034) and response codes (RFC 3206).
//
// A password or token is accepted only from a client that is known to use TLS. Package mailauth checks
// both. The server logs the client of each session. It reads mail by [Mailbox], an interface of two
// methods.
//
// Copy with it: client, guard, gate, mailauth, store.
//
// Change USER whoami in auth.go, which is for the demo.
package pop3d

import (
	"context"
	"crypto/tls"
	"log"
	"log/slog"
	"net"
	"sync"

	"github.com/seed-94e48765/portico/examples/mailfront/internal/client"
	"github.com/seed-94e48765/portico/examples/mailfront/internal/mailauth"
)

// Mailbox has the mail of the users. Its methods may be called concurrently.
type Mailbox interface {
	// Messages returns the mail of a user. A session keeps the result, because message numbers do not
	// change until the session ends (RFC 1939 section 4).
	Messages(name string) ([]Message, error)

	// Delete deletes messages of a user. A message that no longer exists is not an error.
	Delete(name string, uids []string) error
}

// Message is a message of a user.
type Message struct {
	UID  string // 1 to 70 characters from ! to ~; never reused for another message of the user (RFC 1939 section 7)
	Data []byte // lines end in CRLF
}

// Server is a POP3 server for the connections of a listener that have one offer of package gate. All
// fields except TLS are required.
type Server struct {
	Listener client.Listener // for log lines
	Mail     Mailbox
	Login    *mailauth.Checker
	TLS      *tls.Config // for STLS; nil if STLS is not offered
	// InsecureAuth is set if passwords are offered on a connection that is not a *tls.Conn,
	// because the client uses TLS to a proxy. A client that is not known to use TLS is still
	// refused.
	InsecureAuth bool
	Log          *slog.Logger
	ErrorLog     *log.Logger // for panics

	running sync.WaitGroup
}

// Serve serves the connections of l. It returns the error of l.Accept.
func (s *Server) Serve(l net.Listener) error {
	for {
		c, err := l.Accept()
		if err != nil {
			return err
		}
		s.running.Go(func() { s.serve(c) })
	}
}

// Shutdown waits until the sessions have ended. Call it after Serve returned.
func (s *Server) Shutdown(ctx context.Context) error {
	ended := make(chan struct{})
	go func() { s.running.Wait(); close(ended) }()
	select {
	case <-ended:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
