package verify

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/seed-94e48765/portico/discovery"
)

// A Report is the result of [Run]. Its JSON names are stable.
type Report struct {
	Base     string    `json:"base"`
	Checked  []Checked `json:"checked"`           // every request, in the order of the checks
	Findings []Finding `json:"findings"`          // what is wrong; at most 100
	Omitted  int       `json:"omitted,omitempty"` // findings beyond that

	// Connections is the number of connections over which each document and key set was
	// compared. It is not the number of nodes: a balancer may send all of them to one.
	Connections int `json:"connections,omitempty"`
}

// Checked is a request and its answer. To compare two ways to a server, compare Status
// and SHA256.
type Checked struct {
	Document discovery.Document `json:"document"`
	Method   string             `json:"method"`
	URL      string             `json:"url"`
	SignedIn bool               `json:"signed_in,omitempty"` // with Config.Bearer
	Status   int                `json:"status,omitempty"`    // 0: no answer came
	Location string             `json:"location,omitempty"`
	Bytes    int                `json:"bytes"`
	SHA256   string             `json:"sha256,omitempty"` // of the body, in hex
	Error    string             `json:"error,omitempty"`

	// Skipped is true if a foreign issuer was not requested. Error is the reason.
	Skipped bool `json:"skipped,omitempty"`
}

// A Finding describes one fault. Strings that come from the server are cut to a few hundred
// bytes and have printable characters only.
type Finding struct {
	Document discovery.Document `json:"document"`        // where it was found; "config" for the server as a whole
	URL      string             `json:"url"`             // of that document
	Field    string             `json:"field,omitempty"` // its members, with a comma between them
	Rule     string             `json:"rule"`            // the rule that is broken: see the package overview
	Got      string             `json:"got"`
	Want     string             `json:"want"`
	Hint     string             `json:"hint"`              // the likely cause and the fix
	Mistake  Mistake            `json:"mistake,omitempty"` // of the proxy or the server, if it is clear
	Severity Severity           `json:"severity"`
}

// String returns the finding in one line.
func (f Finding) String() string {
	field := ""
	if f.Field != "" {
		field = " " + f.Field
	}
	return fmt.Sprintf("%s: %s: %s%s at %s: got %q, want %s: %s", f.Severity, f.Rule, f.Document, field, f.URL, f.Got, f.Want, f.Hint)
}

const (
	maxFindings      = 100
	maxFindingLength = 400 // bytes of each string
	maxChecked       = 200
	maxMembers       = 200 // of a document or a list that are checked
)

// add reports a finding. If the report has the same finding for another member of the same
// document, the member is added to it: a wrong public URL is one mistake.
func (v *verifier) add(f Finding) {
	f.Document = discovery.Document(v.clip(string(f.Document))) // that of a resource has its path
	f.URL, f.Got, f.Want, f.Hint, f.Field = v.clip(f.URL), v.clip(f.Got), v.clip(f.Want), v.clip(f.Hint), v.clip(f.Field)
	for i := range v.report.Findings {
		g := &v.report.Findings[i]
		if g.Document == f.Document && g.URL == f.URL && g.Rule == f.Rule && g.Hint == f.Hint {
			if f.Field != "" && !strings.Contains(", "+g.Field+",", ", "+f.Field+",") {
				g.Field = v.clip(g.Field + ", " + f.Field)
			}
			return
		}
	}
	if len(v.report.Findings) == maxFindings {
		v.report.Omitted++
		return
	}
	v.report.Findings = append(v.report.Findings, f)
}

// clip prepares a server's text for display: it limits the length, and removes control
// characters and the caller's token.
func (v *verifier) clip(s string) string {
	s = v.redact(s)
	long := len(s) > maxFindingLength
	if long {
		s = s[:maxFindingLength]
	}
	s = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return utf8.RuneError
		}
		return r
	}, strings.ToValidUTF8(s, "\uFFFD"))
	if !long && len(s) <= maxFindingLength {
		return s
	}
	n := min(len(s), maxFindingLength-len("…")) // a run of invalid bytes is one U+FFFD
	for n < len(s) && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n] + "…"
}

// snippet returns the start of a body, by which a reader can recognise it.
func (v *verifier) snippet(body []byte) string {
	if len(body) == 0 {
		return "nothing"
	}
	s := v.redact(string(body)) // before it is cut
	return strings.TrimSpace(s[:min(len(s), 60)])
}

// A shownError is an error whose text has been clipped, because the text of a certificate
// error quotes the certificate.
type shownError struct {
	text string
	err  error
}

func (e *shownError) Error() string { return e.text }
func (e *shownError) Unwrap() error { return e.err }
