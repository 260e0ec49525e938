// The names that blocks of Go code in MIGRATION.md use without defining them. The program
// that is migrated has them.

package block

import (
	"net"
	"net/http"
	"net/netip"
)

var (
	inner  net.Listener
	l      net.Listener
	mux    *http.ServeMux
	r      *http.Request
	server interface{ Serve(net.Listener) error } // go-smtp, go-imap, net/http
	w      http.ResponseWriter
)

func use(netip.Addr) {}
