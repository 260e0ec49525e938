// Copy relaysFor: an address alone permits relaying only if the operator has allowed it. No changes
// are needed.

package main

import (
	"log/slog"
	"slices"
	"strings"

	"github.com/seed-94e48765/portico/examples/internal/settings"
	"github.com/seed-94e48765/portico/examples/mailfront/internal/client"
)

const relayLoopback = "MAILFRONT_RELAY_LOOPBACK"

func (cfg *config) readRelay(values *settings.Values) (err error) {
	cfg.relayLoopback, err = values.Get("RELAY_LOOPBACK").Bool()
	return err
}

// relaysFor reports whether a client may send mail to other domains without signing in. The default
// is false: if a TCP proxy on this machine is missing from the list of trusted proxies, every client
// has the address 127.0.0.1, and mailfront would be an open relay.
func (f *frontend) relaysFor(cl client.Client) bool {
	return f.cfg.relayLoopback && cl.IsThisMachine()
}

// reportRelay logs that a client of this machine was refused, with the setting. The log is limited,
// because a client can cause the line without limit.
func (f *frontend) reportRelay(cl client.Client) {
	if f.cfg.relayLoopback || !cl.IsThisMachine() {
		return
	}
	f.limited.Warn("client", "relay_refused", cl.Listener, slog.String("client_ip", cl.IP.String()),
		slog.String("reason", "a client of this machine has not signed in: if only programs of this machine have this address, set "+relayLoopback+" to true"),
		slog.String("setting", relayLoopback))
}

// warnOfRelaying warns if relaying is allowed for loopback on a listener that trusts no proxy. A proxy
// on this machine that is missing from the list makes the server an open relay.
func (f *frontend) warnOfRelaying() {
	if !f.cfg.relayLoopback {
		return
	}
	var lists []string // the settings of such listeners
	for _, name := range listenerNames {
		isSMTP := strings.HasPrefix(name, "smtp") || strings.HasPrefix(name, "submission")
		list := f.cfg.trusted.of[name]
		if isSMTP && f.cfg.isOpen(name) && list.live.Trusted().IsEmpty() && !slices.Contains(lists, list.From) {
			lists = append(lists, list.From)
		}
	}
	if len(lists) == 0 {
		return
	}
	f.log.Warn("relaying is allowed for 127.0.0.1 and ::1, and a listener trusts no proxy: if a proxy on this machine connects to it, every client of the proxy may relay",
		"event", "relay_loopback", "setting", relayLoopback, "advice", "add the proxy to "+strings.Join(lists, " or ")+", or unset "+relayLoopback)
}
