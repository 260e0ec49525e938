//go:build linux

// Bare runs the servers of mailfront without mailfront, that is go-smtp, go-imap and net/http
// with nothing in front of them. It has no client addresses, limits or log, and serves only
// as the baseline of the benchmark. Do not copy it.
//
// The servers have the settings of those in mailfront: go-smtp writes each line of the answer
// to EHLO separately, so each extension costs time, and net/http sets a deadline for each timeout.
package main

import (
	"crypto/tls"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapserver"
	"github.com/emersion/go-imap/v2/imapserver/imapmemserver"
	"github.com/emersion/go-smtp"
)

// The argument is the document that the HTTP server returns.
func main() {
	document, err := os.ReadFile(os.Args[1])
	if err != nil {
		log.Fatal(err)
	}
	ended := make(chan error)
	serve := func(name string, server func(net.Listener) error) {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(name, l.Addr())
		go func() { ended <- server(l) }()
	}
	startTLS := new(tls.Config) // offered, and used by no client
	mail := smtp.NewServer(smtp.BackendFunc(func(*smtp.Conn) (smtp.Session, error) { return session{}, nil }))
	mail.Domain = "mail.example.com"
	mail.ReadTimeout, mail.WriteTimeout = 5*time.Minute, time.Minute
	mail.TLSConfig, mail.EnableSMTPUTF8, mail.MaxMessageBytes, mail.MaxRecipients = startTLS, true, 10<<20, 100
	serve("smtp", mail.Serve)
	mailboxes := imapmemserver.New()
	serve("imap", imapserver.New(&imapserver.Options{
		NewSession: func(*imapserver.Conn) (imapserver.Session, *imapserver.GreetingData, error) {
			return mailboxes.NewSession(), nil, nil
		},
		Caps:      imap.CapSet{imap.CapIMAP4rev1: {}, imap.CapIMAP4rev2: {}, imap.CapSpecialUse: {}},
		TLSConfig: startTLS,
	}).Serve)
	web := &http.Server{
		ReadHeaderTimeout: 10 * time.Second, ReadTimeout: 30 * time.Second, WriteTimeout: 30 * time.Second, IdleTimeout: 2 * time.Minute,
		Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			w.Write(document)
		}),
	}
	serve("http", web.Serve)
	fmt.Println("ready")
	log.Fatal(<-ended)
}

type session struct{}

func (session) Mail(string, *smtp.MailOptions) error { return nil }
func (session) Rcpt(string, *smtp.RcptOptions) error { return nil }
func (session) Data(r io.Reader) error               { _, err := io.Copy(io.Discard, r); return err }
func (session) Reset()                               {}
func (session) Logout() error                        { return nil }
