// Package pop3d is a small POP3 server (RFC 1939) with CAPA (RFC 2449), STLS (RFC 2595), AUTH
// (RFC 5034) and response codes (RFC 3206).
//
// A password or token is accepted only from a client that is known to be on TLS, and the
// server reports who the client is in its log. Package mailauth checks both. The mail is behind
// [Mailbox], an interface of two methods.
//
// Copy with it: client, guard, gate, mailauth, store.
//
// What to change: USER whoami, which is for the demo, in auth.go.
package pop3d

import (
	"context"
	"crypto/tls"
	"log"
	"log/slog"
	"net"
	"sync"

	"github.com/seed-94e48765/portico/examples/mailfront/internal/mailauth"
)

// Mailbox has the mail of the users. Its methods may be called concurrently.
type Mailbox interface {
	// Messages returns the mail of a user. A session keeps the result: its numbers do not
	// change until the session ends (RFC 1939 section 4).
	Messages(name string) ([]Message, error)

	// Delete deletes messages of a user. It is not an error if one of them does not exist
	// any more.
	Delete(name string, uids []string) error
}

// Message is a message of a user.
type Message struct {
	UID  string // 1 to 70 characters from ! to ~; no other message of the user ever has it (RFC 1939 section 7)
	Data []byte // lines that end in CRLF
}

// Server is a POP3 server for the connections of a listener that get one offer of package
// gate. All fields but TLS are required.
type Server struct {
	Listener string // the name in log lines
	Mail     Mailbox
	Login    *mailauth.Checker
	TLS      *tls.Config // for STLS; nil if STLS is not offered
	// InsecureAuth is set if passwords are offered on a connection that is not a *tls.Conn,
	// because the client is on TLS to a proxy. A client that is not known to be on TLS is
	// still refused.
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
