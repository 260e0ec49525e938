// What to copy: the sentences, for a page or a log that says why a server takes
// somebody for its client. What to change: the names of the settings.

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

// addressLearned says how the client's address came to be known, or why not.
func (f *frontend) addressLearned(cl client.Client) string {
	const direct = "The connection itself: %s connected, and is not on the list of trusted proxies. If that is your proxy, put it on the list (MAILFRONT_TRUSTED_PROXIES)."
	if cl.Version > 0 {
		by := fmt.Sprintf("The proxy %s, in a PROXY header of version %d", cl.Proxy, cl.Version)
		if !cl.Known {
			return by + " that names no client (LOCAL or UNKNOWN)."
		}
		return by + "."
	}
	proxy, header := fmt.Sprintf("The proxy %s connected, ", cl.Proxy), f.cfg.forwardedHeader()
	switch cl.Reason {
	case "", forwarded.UntrustedPeer.String(), forwarded.UntrustedHeader.String():
		return fmt.Sprintf(direct, cl.IP)
	case forwarded.UntrustedHop.String(), forwarded.CountedHop.String():
		return proxy + "and named the client in " + header + "."
	case forwarded.TooFewHops.String():
		return proxy + fmt.Sprintf("and %s has fewer than %d entries (MAILFRONT_FORWARDED_HOPS): did the request come through all proxies?", header, f.cfg.forwarded.TrustedHops)
	case forwarded.NoHeader.String():
		return proxy + "and sent no " + header + ": let it send one, or come by the proxy's own address if you are on this machine."
	case forwarded.AllTrusted.String():
		return proxy + "and " + header + " names trusted proxies only: is the client's network on the list, too?"
	case forwarded.NoPeer.String():
		return "The peer has no address."
	}
	return proxy + "but its " + header + " cannot be used (" + cl.Reason + "): let it replace what the client sent."
}

// tlsLearned says how the client's TLS came to be known, or why not.
func (f *frontend) tlsLearned(cl client.Client) string {
	path := f.cfg.tlsPath[cl.Listener]
	switch {
	case !cl.Proxy.IsValid():
		return "The connection itself."
	case !cl.Known && !cl.TLSKnown:
		return "Nothing is known of the client, and so nothing of its TLS."
	case cl.Info != nil && cl.Info.TLS != nil:
		return "The proxy, in the TLS part of the PROXY header."
	case cl.Info == nil && f.cfg.forwarded.Proto && cl.TLSKnown:
		return "The proxy, in X-Forwarded-Proto."
	case cl.Info == nil && f.cfg.forwarded.Proto:
		return "The proxy did not say it in X-Forwarded-Proto, or said two things."
	case cl.TLSKnown && path == proxyproto.TerminatedTLS:
		return "The setting MAILFRONT_TLS_TERMINATED: every client of the proxy has TLS."
	case cl.TLSKnown:
		return "The connection itself: the proxy passes TLS on."
	case cl.Info == nil:
		return "Nobody said. If every trusted proxy sets or removes X-Forwarded-Proto, set MAILFRONT_FORWARDED_PROTO=true."
	}
	return "Nobody said. Let HAProxy send it (send-proxy-v2-ssl); for a proxy that cannot, there is MAILFRONT_TLS_TERMINATED."
}

// verifyTimeout leaves time for the answer, within the server's WriteTimeout.
const verifyTimeout = 20 * time.Second

// A verifyResult is the outcome of one run of verify.Run.
type verifyResult struct {
	When   time.Time
	Base   string
	Report *verify.Report // nil with Err
	Err    string
}

// verify asks for the documents as a client would, by way of the public URL.
func (a *admin) verify(w http.ResponseWriter, r *http.Request) {
	p, ok := a.signedInForm(w, r)
	if !ok {
		return
	}
	if !a.verifying.TryLock() {
		p.Problem = "A check is running already."
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
