// Copy writeMetrics, which makes every metric one line of a table. Change the metrics.

package main

import (
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/seed-94e48765/portico/examples/mailfront/internal/guard"
	"github.com/seed-94e48765/portico/proxyproto"
)

// A metric is a group of samples in the text format of Prometheus
// (https://prometheus.io/docs/instrumenting/exposition_formats/).
type metric struct {
	name, help string
	isGauge    bool // otherwise it is a counter, whose name ends in _total
	samples    []sample
}

// A sample is a number with labels, such as `listener="smtp"`. Labels must not need escaping.
type sample struct {
	labels string
	value  any
}

func writeMetrics(w io.Writer, metrics []metric) {
	for _, m := range metrics {
		kind := "counter"
		if m.isGauge {
			kind = "gauge"
		}
		fmt.Fprintf(w, "# HELP mailfront_%s %s\n# TYPE mailfront_%s %s\n", m.name, m.help, m.name, kind)
		for _, s := range m.samples {
			labels := s.labels
			if labels != "" {
				labels = "{" + labels + "}"
			}
			fmt.Fprintf(w, "mailfront_%s%s %v\n", m.name, labels, s.value)
		}
	}
}

// outcomes are the values of the label outcome of connections_total, and reasons are the values of
// the label reason of rejected_total. connectionGauges and trust_all_total have the rest of
// proxyproto.Stats.
var (
	outcomes = []counter{
		{"proxied", func(s proxyproto.Stats) uint64 { return s.Proxied }},
		{"local", func(s proxyproto.Stats) uint64 { return s.Local }},
		{"direct", func(s proxyproto.Stats) uint64 { return s.Direct }},
		{"probe", func(s proxyproto.Stats) uint64 { return s.Probes }},
	}
	reasons = []counter{
		{"no_header", func(s proxyproto.Stats) uint64 { return s.NoHeader }},
		{"malformed", func(s proxyproto.Stats) uint64 { return s.Malformed }},
		{"timed_out", func(s proxyproto.Stats) uint64 { return s.TimedOut }},
		{"too_large", func(s proxyproto.Stats) uint64 { return s.TooLarge }},
		{"checksum", func(s proxyproto.Stats) uint64 { return s.Checksum }},
		{"untrusted_header", func(s proxyproto.Stats) uint64 { return s.Untrusted }},
		{"refused", func(s proxyproto.Stats) uint64 { return s.Refused }},
		{"evicted", func(s proxyproto.Stats) uint64 { return s.Evicted }},
	}
)

type counter struct {
	label string
	value func(proxyproto.Stats) uint64
}

// connectionMetrics returns the metrics of the listeners. names are the names of the listeners.
func connectionMetrics(names []string, stats map[string][]proxyproto.Stats) []metric {
	connections := metric{name: "connections_total", help: "Connections that a server has accepted, and probes, which trusted peers closed without sending a byte."}
	rejected := metric{name: "rejected_total", help: "Connections that were closed because of their PROXY header or the lack of one."}
	trustAll := metric{name: "trust_all_total", help: "Connections while the list of trusted proxies covered half of an address family or more."}
	pending := metric{name: "pending_connections", help: "Connections that wait for their PROXY header.", isGauge: true}
	ready := metric{name: "ready_connections", help: "Connections that wait for a server.", isGauge: true}
	for _, name := range names {
		label := fmt.Sprintf("listener=%q", name)
		sum := func(value func(proxyproto.Stats) uint64) (n uint64) { // sum over all addresses of a listener
			for _, s := range stats[name] {
				n += value(s)
			}
			return n
		}
		for _, c := range outcomes {
			connections.samples = append(connections.samples, sample{fmt.Sprintf("%s,outcome=%q", label, c.label), sum(c.value)})
		}
		for _, c := range reasons {
			rejected.samples = append(rejected.samples, sample{fmt.Sprintf("%s,reason=%q", label, c.label), sum(c.value)})
		}
		trustAll.samples = append(trustAll.samples, sample{label, sum(func(s proxyproto.Stats) uint64 { return s.TrustAll })})
		pending.samples = append(pending.samples, sample{label, sum(func(s proxyproto.Stats) uint64 { return uint64(s.Pending) })})
		ready.samples = append(ready.samples, sample{label, sum(func(s proxyproto.Stats) uint64 { return uint64(s.Ready) })})
	}
	return []metric{connections, rejected, trustAll, pending, ready}
}

// limitMetrics returns the metrics of the limits and bans.
func limitMetrics(c guard.Counts) []metric {
	one := func(value any) []sample { return []sample{{value: value}} }
	return []metric{
		{name: "open_connections", help: "Open connections of clients.", isGauge: true, samples: one(c.Connections)},
		{name: "refused_total", help: "Connections that a limit or a ban has refused.", samples: []sample{
			{`reason="banned"`, c.WhileBanned}, {`reason="too_fast"`, c.TooFast}, {`reason="too_many_of_client"`, c.TooManyOpen}, {`reason="too_many"`, c.Full},
		}},
		{name: "wrong_logins_total", help: "Wrong passwords and tokens.", samples: one(c.WrongLogins)},
		{name: "wrong_logins_not_bannable_total", help: "Wrong passwords and tokens of clients that are not known, which cannot cause a ban.", samples: one(c.NotBannable)},
		{name: "logins_not_compared_total", help: "Logins that a limit or a ban refused before the password was compared.", samples: one(c.NotCompared)},
		{name: "bans_total", help: "Bans.", samples: one(c.Bans)},
		{name: "banned_clients", help: "Clients that are banned now.", isGauge: true, samples: one(c.BannedNow)},
		{name: "remembered_clients", help: "Clients with a rate limit in memory.", isGauge: true, samples: one(c.ClientsKnown)},
		{name: "message_memory_bytes", help: "Memory for messages that are being received.", isGauge: true, samples: one(c.MemoryInUse)},
	}
}

// metrics serves /metrics.
func (f *frontend) metrics(w http.ResponseWriter, _ *http.Request) {
	ready := 0
	if f.notReady() == "" {
		ready = 1
	}
	all := []metric{{name: "ready", help: "1 if /healthz/ready succeeds.", isGauge: true, samples: []sample{{value: ready}}}}
	if f.watched != nil {
		available := 0
		if f.watched.isAway() == nil {
			available = 1
		}
		all = append(all, metric{name: "store_available", help: "1 if the shared store (MAILFRONT_STORE) answers.", isGauge: true, samples: []sample{{value: available}}})
	}
	if f.phase.Load() != starting { // the listeners are open
		var names []string
		stats := make(map[string][]proxyproto.Stats)
		sessions := metric{name: "sessions_open", help: "Open connections of mail clients that passed the limits.", isGauge: true}
		for _, l := range f.listeners {
			names = append(names, l.name)
			for _, s := range l.sockets {
				stats[l.name] = append(stats[l.name], s.proxy.Stats())
			}
			if !strings.HasPrefix(l.name, "http") {
				sessions.samples = append(sessions.samples, sample{fmt.Sprintf("listener=%q", l.name), l.sessions.Open()})
			}
		}
		all = append(all, connectionMetrics(names, stats)...)
		all = append(all, sessions)
	}
	all = append(all, limitMetrics(f.guard.Counts())...)
	w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	writeMetrics(w, all)
}
