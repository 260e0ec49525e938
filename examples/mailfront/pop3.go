package main

import (
	"github.com/seed-94e48765/portico/examples/mailfront/internal/gate"
	"github.com/seed-94e48765/portico/examples/mailfront/internal/pop3d"
)

// newPOP3Server returns the server for the connections of a listener that have the offer o.
func newPOP3Server(f *frontend, listener string, o gate.Offer) server {
	s := &pop3d.Server{Listener: f.cfg.listener(listener), Mail: pop3Mailbox{f.mail}, Login: f.login, Log: f.log, ErrorLog: libraryLog(f.log, listener)}
	switch o {
	case gate.StartTLS:
		s.TLS = f.tls
	case gate.Login:
		s.InsecureAuth = true // the client uses TLS, possibly to the proxy only
	}
	return s
}

// A pop3Mailbox implements pop3d.Mailbox for the only account.
type pop3Mailbox struct{ *mailbox }

func (m pop3Mailbox) Messages(string) ([]pop3d.Message, error) { return m.messages(), nil }

func (m pop3Mailbox) Delete(_ string, uids []string) error {
	m.remove(uids)
	return nil
}
