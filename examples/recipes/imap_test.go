package recipes

import (
	"fmt"
	"log"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"
	"github.com/emersion/go-imap/v2/imapserver"
	"github.com/emersion/go-imap/v2/imapserver/imapmemserver"
)

// An imapSession is a store's, with a connection.
type imapSession struct {
	imapserver.Session
	conn *imapserver.Conn
}

// Login is the lock behind what is offered.
func (s *imapSession) Login(username, password string) error {
	client := newSession(s.conn.NetConn()) // as it is now: go-imap keeps the session over STARTTLS
	if !client.secure {
		return &imap.Error{Type: imap.StatusResponseTypeNo, Code: imap.ResponseCodePrivacyRequired, Text: "TLS is required"}
	}
	fmt.Println("login from", client.info.Client)
	return s.Session.Login(username, password)
}

// go-imap. It offers LOGIN to everybody or by its own *tls.Conn, for a whole server:
// with InsecureAuth the session has to refuse. To offer it only where it works,
// put two servers behind the listener, as split.go of mailfront does.
func Example_goIMAP() {
	store := imapmemserver.New()
	user := imapmemserver.NewUser("demo", "correct horse")
	store.AddUser(user)
	l := listen()
	srv := imapserver.New(&imapserver.Options{
		NewSession: func(c *imapserver.Conn) (imapserver.Session, *imapserver.GreetingData, error) {
			return &imapSession{store.NewSession(), c}, nil, nil
		},
		Caps:         imap.CapSet{imap.CapIMAP4rev1: {}},
		InsecureAuth: true,
	})
	go srv.Serve(l)
	defer srv.Close()

	// To try it.
	for _, facts := range tlsOrNot {
		c := imapclient.New(throughProxy(l, facts), nil)
		if err := c.WaitGreeting(); err != nil {
			log.Fatal(err)
		}
		fmt.Println(c.Login("demo", "correct horse").Wait())
		c.Close()
	}
	// Output:
	// imap: NO [PRIVACYREQUIRED] TLS is required
	// login from 203.0.113.7:50000
	// <nil>
}
