// What to copy: compare, which separates the proxy's mistakes from the server's.

package main

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/seed-94e48765/portico/discovery/verify"
)

// A diagnosis is what doctor prints.
type diagnosis struct {
	URL           string                               `json:"url"`
	Error         string                               `json:"error,omitempty"`          // why Report is nil
	Report        *verify.Report                       `json:"report"`                   // as clients see it
	Server        *verify.Report                       `json:"server,omitempty"`         // past the proxy
	ServerError   string                               `json:"server_error,omitempty"`   // why Server is nil
	ServerAddress string                               `json:"server_address,omitempty"` // of the node that was checked
	Differences   []difference                         `json:"differences,omitempty"`
	ProxyOnly     []int                                `json:"proxy_only,omitempty"` // findings that the server itself does not have
	Fixes         map[verify.Mistake]map[string]string `json:"fixes,omitempty"`      // by product

	domains []string // of -domains
	nodes   int      // number of addresses of -connect
}

// A difference is an answer that the proxy changes.
type difference struct {
	Method string `json:"method"`
	URL    string `json:"url"`
	Proxy  string `json:"proxy"`
	Server string `json:"server"`

	// Withheld is true if the server has the document and the proxy does not pass it on.
	Withheld bool `json:"withheld,omitempty"`
}

// findings returns the findings through the proxy, or those at the server if the proxy was
// not reached.
func (d *diagnosis) findings() []verify.Finding {
	switch {
	case d.Report != nil:
		return d.Report.Findings
	case d.Server != nil:
		return d.Server.Findings
	}
	return nil
}

// nodesAgree reports whether several nodes of -connect have answered, and all in the same way.
func (d *diagnosis) nodesAgree() bool {
	return d.nodes > 1 && d.Report.Omitted == 0 && !slices.ContainsFunc(d.Report.Findings, func(f verify.Finding) bool {
		return slices.Contains([]string{"nodes-disagree", "timeout", "unreachable", "certificate"}, f.Rule)
	})
}

// withheld returns the number of documents that the proxy does not pass on.
func (d *diagnosis) withheld() (n int) {
	for _, x := range d.Differences {
		if x.Withheld {
			n++
		}
	}
	return n
}

// compare sets Differences and ProxyOnly from the two reports.
func (d *diagnosis) compare() {
	type request struct {
		method, url string
		signedIn    bool
	}
	server := make(map[request]verify.Checked)
	for _, c := range d.Server.Checked {
		server[request{c.Method, c.URL, c.SignedIn}] = c
	}
	for _, c := range d.Report.Checked {
		s, ok := server[request{c.Method, c.URL, c.SignedIn}]
		if !ok || c.Skipped || s.Skipped {
			continue // found by an answer that only the proxy gave, or not requested
		}
		through, past := answer(c), answer(s)
		if through == past && c.SHA256 != s.SHA256 && isDocument(c.URL) {
			through, past = through+" "+digest(c), past+" "+digest(s)
		}
		if through != past {
			withheld := s.Status == http.StatusOK && c.Status != http.StatusOK && isDocument(c.URL) && d.isServers(c.URL)
			d.Differences = append(d.Differences, difference{c.Method, c.URL, through, past, withheld})
		}
	}
	has := make(map[string]bool)
	keys := func(f verify.Finding) (all []string) { // a key for each member
		for field := range strings.SplitSeq(f.Field, ", ") {
			all = append(all, fmt.Sprintf("%s %s %s %s", f.Document, f.URL, f.Rule, field))
		}
		return all
	}
	for _, f := range d.Server.Findings {
		for _, key := range keys(f) {
			has[key] = true
		}
	}
	for i, f := range d.Report.Findings {
		if !slices.ContainsFunc(keys(f), func(key string) bool { return has[key] }) {
			d.ProxyOnly = append(d.ProxyOnly, i)
		}
	}
}

// isServers reports whether a URL must be the server's, because it is below the base or at
// a host of a mail domain. Other paths of the origin may belong to other programs.
func (d *diagnosis) isServers(u string) bool {
	return d.atMailHost(u) || strings.HasPrefix(u, d.URL+"/")
}

// atMailHost reports whether a URL is at a host of a mail domain.
func (d *diagnosis) atMailHost(u string) bool {
	target, err := url.Parse(u)
	if err != nil {
		return false
	}
	return slices.ContainsFunc(d.domains, func(domain string) bool {
		return slices.ContainsFunc([]string{"autoconfig.", "ua-auto-config.", "mta-sts."}, func(prefix string) bool { return target.Host == prefix+domain })
	})
}

func answer(c verify.Checked) string {
	switch {
	case c.Error != "":
		return c.Error
	case c.Location != "":
		return fmt.Sprintf("%d to %s", c.Status, c.Location)
	}
	return fmt.Sprint(c.Status)
}

func digest(c verify.Checked) string {
	if c.SHA256 == "" {
		return "without a body"
	}
	return fmt.Sprintf("with %d bytes, SHA-256 %.12s…", c.Bytes, c.SHA256)
}

// isDocument reports whether every answer must have the same bytes. Pages may differ.
func isDocument(u string) bool {
	return strings.Contains(u, "/.well-known/") || strings.Contains(u, "/api/discover") || strings.Contains(u, "/config-v1.1.xml")
}
