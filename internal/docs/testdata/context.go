// The names that blocks of Go code in README.md and MIGRATION.md use without defining
// them: what a program has already when it comes to the block.

package block

import (
	"context"
	"net"
	"net/http"
	"net/netip"

	"github.com/seed-94e48765/portico/discovery"
	"github.com/seed-94e48765/portico/publicurl"
)

var (
	account  = discovery.ServerConfig{}.Session
	base     publicurl.Base
	hostname string
	ctx      context.Context
	inner    net.Listener
	l        net.Listener
	mux      *http.ServeMux
	other    *discovery.Set
	r        *http.Request
	server   interface{ Serve(net.Listener) error } // go-smtp, go-imap, net/http
	w        http.ResponseWriter
)

func use(netip.Addr) {}
