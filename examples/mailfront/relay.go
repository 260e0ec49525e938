// What to copy: relaysFor: an address alone allows no relaying unless the operator has
// switched it on. What to change: nothing.

package main

import (
	"log/slog"

	"github.com/seed-94e48765/portico/examples/internal/settings"
	"github.com/seed-94e48765/portico/examples/mailfront/internal/client"
)

const relayLoopback = "MAILFRONT_RELAY_LOOPBACK"

func (cfg *config) readRelay(values *settings.Values) (err error) {
	cfg.relayLoopback, err = values.Get("RELAY_LOOPBACK").Bool()
	return err
}

// relaysFor reports whether a client may send mail to other domains without signing in.
// The default is no: a TCP proxy on this machine that is not on the list of trusted proxies
// makes every client 127.0.0.1, and mailfront would be an open relay.
func (f *frontend) relaysFor(cl client.Client) bool {
	return f.cfg.relayLoopback && cl.IsThisMachine()
}

// reportRelay logs that a client of this machine was refused, with the setting. A client can
// cause it as often as it likes.
func (f *frontend) reportRelay(cl client.Client) {
	if f.cfg.relayLoopback || !cl.IsThisMachine() {
		return
	}
	f.limited.Warn("client", "relay_refused", cl.Listener, slog.String("client_ip", cl.IP.String()),
		slog.String("reason", "a client of this machine has not signed in: if only programs of this machine have this address, set "+relayLoopback+" to true"),
		slog.String("setting", relayLoopback))
}

// warnOfRelaying is for a server that relays for loopback and trusts no proxy: a proxy on
// this machine that was forgotten makes it an open relay.
func (f *frontend) warnOfRelaying() {
	if !f.cfg.relayLoopback || !f.cfg.trusted.all.Trusted().IsEmpty() {
		return
	}
	f.log.Warn("relaying is allowed for 127.0.0.1 and ::1, and no proxy is trusted: if a proxy on this machine connects to mailfront, every client of it may relay",
		"event", "relay_loopback", "setting", relayLoopback, "advice", "add the proxy to "+client.TrustedProxies+", or unset "+relayLoopback)
}
