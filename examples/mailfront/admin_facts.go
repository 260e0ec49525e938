// Copy the sentences for a page or a log that explains which address a server uses for a client.
// Change the names of the settings.

package main

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"github.com/seed-94e48765/portico/discovery/verify"
	"github.com/seed-94e48765/portico/examples/mailfront/internal/client"
	"github.com/seed-94e48765/portico/forwarded"
	"github.com/seed-94e48765/portico/proxyproto"
)

// addressSource describes the source of the client's address. If the address is not known, the
// sentence names the cause and the setting to change.
func (f *frontend) addressSource(cl client.Client) string {
	if cl.Version > 0 {
		by := fmt.Sprintf("The PROXY header (version %d) of the proxy %s", cl.Version, proxyName(cl))
		if !cl.Known {
			return by + " has no client address (LOCAL or UNKNOWN). Only health checks should send such a header: configure the proxy to send the address of the client, as HAProxy does with send-proxy-v2."
		}
		return by + "."
	}
	header := f.cfg.forwardedHeader()
	proxy := fmt.Sprintf("The header %s of the proxy %s", header, proxyName(cl))
	switch cl.Reason {
	case "", forwarded.UntrustedPeer.String(), forwarded.UntrustedHeader.String():
		return fmt.Sprintf("The connection itself: %s is not on the list of trusted proxies. If it is your proxy, add it to %s.", cl.IP, cl.TrustedSetting)
	case forwarded.UntrustedHop.String(), forwarded.CountedHop.String():
		return proxy + "."
	case forwarded.TooFewHops.String():
		return proxy + fmt.Sprintf(" has fewer entries than MAILFRONT_FORWARDED_HOPS, which is %d. Set it to the number of entries that your proxies append, or send the request through all of them.", f.cfg.forwarded.TrustedHops)
	case forwarded.NoHeader.String():
		return fmt.Sprintf("The trusted proxy %s did not send the header %s. Configure the proxy to send it, or set MAILFRONT_FORWARDED_HEADER to the header that the proxy sends. If you opened this page without the proxy, use the public URL.", proxyName(cl), header)
	case forwarded.AllTrusted.String():
		return proxy + " contains only addresses of trusted proxies. If the client's network is on the list of trusted proxies, remove it from " + cl.TrustedSetting + "."
	case forwarded.NoPeer.String():
		return "The connection has no peer address. If it is a unix socket of your proxy, add unix to " + cl.TrustedSetting + "."
	}
	return proxy + " is not usable (" + cl.Reason + "). Configure the proxy to replace the header that the client sent."
}

// proxyName returns the address of the proxy, or "on the unix socket".
func proxyName(cl client.Client) string {
	if !cl.Proxy.IsValid() {
		return "on the unix socket"
	}
	return cl.Proxy.String()
}

// isDirect reports whether the client connected without a trusted proxy.
func isDirect(cl client.Client) bool {
	switch cl.Reason {
	case "", forwarded.UntrustedPeer.String(), forwarded.UntrustedHeader.String(), forwarded.NoPeer.String():
		return cl.Version == 0
	}
	return false
}

// tlsSource describes the source of the client's TLS state. If the state is not known, the
// sentence names the cause and the setting to change.
func (f *frontend) tlsSource(cl client.Client) string {
	path := f.cfg.tlsPath[cl.Listener]
	switch {
	case isDirect(cl):
		return "The connection itself."
	case !cl.Known && !cl.TLSKnown:
		return "The client is not known, so its TLS is not known either. Correct the client address first."
	case cl.Info != nil && cl.Info.TLS != nil:
		return "The TLS field of the PROXY header."
	case cl.Info == nil && f.cfg.forwarded.Proto && cl.TLSKnown:
		return "The header X-Forwarded-Proto of the proxy."
	case cl.Info == nil && f.cfg.forwarded.Proto:
		return "The proxy sent no X-Forwarded-Proto, or one with contradictory values. Configure the proxy to set it to http or https."
	case cl.TLSKnown && path == proxyproto.TerminatedTLS:
		return "The setting MAILFRONT_TLS_TERMINATED: every client of the proxy uses TLS."
	case cl.TLSKnown:
		return "The connection itself: the proxy passes TLS on."
	case cl.Info == nil:
		return "The proxy does not report it. If every trusted proxy sets or removes X-Forwarded-Proto, set MAILFRONT_FORWARDED_PROTO=true."
	}
	return "The proxy does not report it. Configure HAProxy with send-proxy-v2-ssl. For a proxy that cannot report it, set MAILFRONT_TLS_TERMINATED if its clients always use TLS."
}

// verifyTimeout is shorter than the WriteTimeout of the server, so that the answer can be sent.
const verifyTimeout = 20 * time.Second

// A verifyResult is the outcome of one run of verify.Run.
type verifyResult struct {
	When   time.Time
	Base   string
	Report *verify.Report // nil if Err is not nil
	Err    string
}

// verify requests the documents at the public URL, as a client does.
func (a *admin) verify(w http.ResponseWriter, r *http.Request) {
	p, ok := a.signedInForm(w, r)
	if !ok {
		return
	}
	if !a.verifying.TryLock() {
		p.Problem = "A check is already running. Open the page again when it has ended."
		a.show(w, r, http.StatusConflict, "home", p)
		return
	}
	defer a.verifying.Unlock()
	ctx, cancel := context.WithTimeout(r.Context(), verifyTimeout+time.Second)
	defer cancel()
	result := &verifyResult{When: time.Now(), Base: p.set.Issuer()}
	var err error
	result.Report, err = a.verifyDocuments(ctx, p.set.Base())
	if err != nil {
		result.Err = err.Error()
	}
	a.lastReport.Store(result)
	client.FromRequest(r).Log(a.f.log, "verified", slog.Int("findings", result.findings()), slog.String("reason", client.Quote(result.Err)))
	a.back(w, r)
}

func (v *verifyResult) findings() int {
	if v.Report == nil {
		return 0
	}
	return len(v.Report.Findings) + v.Report.Omitted
}
