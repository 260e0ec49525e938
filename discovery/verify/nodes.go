package verify

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"

	"github.com/seed-94e48765/portico/discovery"
)

// Several nodes may answer behind one proxy. The proxy chooses a node by the connection or by
// a cookie, so that a second request over the same connection shows nothing new. Run therefore
// opens connections for the comparison only.

const (
	maxCompared = 24 // documents
	maxFresh    = 64 // connections for each
	maxConnect  = 16 // targets

	maxContent = 8 << 20 // bytes that are decoded for the comparison in a run
)

// A compared is a document whose answers are compared.
type compared struct {
	document discovery.Document
	url      string
	keys     bool // a key set: every difference breaks sign-ins
}

// compare notes a document for the comparison, if there was an answer.
func (v *verifier) compare(d discovery.Document, u string, keys bool) {
	c := v.fetcher.calls[get(u)]
	if c == nil || c.answer == nil || c.answer.err != nil || len(v.comparing) == maxCompared || slices.ContainsFunc(v.comparing, func(c compared) bool { return c.url == u }) {
		return
	}
	v.comparing = append(v.comparing, compared{d, u, keys})
}

// A sample is an answer over one connection.
type sample struct {
	kind   string // status and content, equal for equal answers; "" if the answer is not compared
	status string
	target string
	err    error
}

// nodes compares the answers of several connections with each other.
func (v *verifier) nodes(ctx context.Context) {
	if v.settings.Fresh+len(v.settings.Connect) < 2 {
		return
	}
	for _, name := range []struct {
		document discovery.Document
		name     string
	}{{discovery.OAuthDocument, oauthName}, {discovery.OpenIDDocument, openIDName}, {discovery.BaseResource, resourceName}, {discovery.JMAPDocument, jmapName}} {
		v.compare(name.document, v.wellKnown(name.name), false)
	}
	targets := slices.Clone(v.settings.Connect)
	for _, c := range v.comparing {
		if ctx.Err() != nil {
			v.fetcher.unasked++
			continue
		}
		fresh := v.fetcher.samples(ctx, c.url, make([]string, v.settings.Fresh))
		past := v.fetcher.samples(ctx, c.url, targets)
		for _, s := range past {
			if s.err != nil && ctx.Err() == nil {
				v.noNode(s)
				targets = slices.DeleteFunc(targets, func(t string) bool { return t == s.target })
			}
		}
		past = slices.DeleteFunc(past, func(s sample) bool { return s.err != nil })
		if ctx.Err() != nil {
			continue
		}
		if !slices.ContainsFunc(fresh, func(s sample) bool { return s.status != late }) {
			v.add(Finding{Document: c.document, URL: c.url, Rule: ruleTimeout, Severity: SeverityError, Got: fmt.Sprintf("%s over %d connections, after one that was answered", late, len(fresh)), Want: "an answer within " + v.settings.RequestTimeout.String(), Mistake: MistakeBackend,
				Hint: "the server or the proxy does not answer every connection of a client: look for a limit of connections, or for a node that hangs"})
			break // the others would take as long
		}
		v.disagree(c, fresh, past)
	}
	v.report.Connections = v.settings.Fresh + len(targets)
}

// noNode reports a node that cannot be reached.
func (v *verifier) noNode(s sample) {
	f := Finding{Document: configDocument, URL: "tcp://" + s.target, Rule: ruleUnreachable, Severity: SeverityError, Got: unwrapURL(s.err).Error(), Want: "an answer of the node at " + s.target, Mistake: MistakeBackend,
		Hint: "the node does not answer: check that it runs, and that the address is that of its listener for HTTP"}
	if isHangUp(s.err) {
		f.Mistake, f.Hint = MistakeProxyHeader, hangUpHint
	}
	if hint, ok := v.fetcher.certificateHint(s.err); ok {
		f.Rule, f.Mistake, f.Hint = ruleCertificate, MistakeCertificate, hint
	}
	v.add(f)
}

// disagree reports answers that differ. A proxy may change answers on the way, so the
// connections through the proxy are compared with each other, and the nodes with each other.
// Key sets are compared over all of them.
func (v *verifier) disagree(c compared, fresh, past []sample) {
	all := slices.Concat(fresh, past)
	answered := slices.DeleteFunc(slices.Clone(all), func(s sample) bool { return s.status != "200" })
	if !differ(fresh) && !differ(past) && !(c.keys && differ(answered)) {
		return
	}
	f := Finding{Document: c.document, URL: c.url, Rule: ruleNodes, Severity: SeverityError, Mistake: MistakeNodes, Want: "the same answer over every connection",
		Hint: "several nodes answer, and not all have the same configuration: give them all the same public URL and settings, and restart nodes with old ones; if there is one node only, the document changes with every request"}
	if c.keys {
		f.Field = "jwks_uri"
		f.Hint = "several nodes answer, and each has its own signing keys, so that the others refuse its tokens and sign-ins fail: let all nodes share the keys and the state of sign-ins"
	}
	kinds, statuses := make(map[string]bool), make(map[string]bool)
	for _, s := range all {
		if s.kind != "" {
			kinds[s.kind], statuses[s.status] = true, true
		}
	}
	f.Got = fmt.Sprintf("%d different answers over %d connections", len(kinds), len(all))
	if len(statuses) > 1 {
		f.Got += ": " + strings.Join(sortedKeys(statuses), ", ")
	}
	if differ(past) {
		f.Got += "; " + describeTargets(past)
	}
	v.add(f)
}

// describeTargets groups the targets by their answers.
func describeTargets(past []sample) string {
	var groups []string
	done := make(map[string]bool)
	for _, s := range past {
		if s.kind == "" || done[s.kind] {
			continue
		}
		done[s.kind] = true
		var same []string
		for _, other := range past {
			if other.kind == s.kind {
				same = append(same, other.target)
			}
		}
		groups = append(groups, strings.Join(same, " and "))
	}
	return strings.Join(groups, " differs from ")
}

func sortedKeys(m map[string]bool) (all []string) {
	for k := range m {
		all = append(all, k)
	}
	slices.Sort(all)
	return all
}

func differ(all []sample) bool {
	first := ""
	for _, s := range all {
		switch {
		case s.kind == "":
		case first == "":
			first = s.kind
		case s.kind != first:
			return true
		}
	}
	return false
}

// samples requests a document over a connection to each target, all at the same time. The
// target "" is the way that every client takes. A round-robin balancer sends each connection to
// another node.
func (f *fetcher) samples(ctx context.Context, u string, targets []string) []sample {
	all, answers := make([]sample, len(targets)), make([]*fetched, len(targets))
	var running sync.WaitGroup
	for i, target := range targets {
		running.Go(func() {
			client, done := f.freshClient(target)
			defer done()
			answers[i] = f.sendBy(ctx, client, get(u))
		})
	}
	running.Wait()
	contents := make(map[string]string) // by digest: most answers are equal
	for i, a := range answers {
		all[i] = newSample(a)
		all[i].target = targets[i]
		if all[i].status == "200" {
			digest := a.digest()
			if _, known := contents[digest]; !known {
				contents[digest] = f.content(a)
			}
			all[i].kind = contents[digest]
		}
		if targets[i] == "" {
			all[i].err = nil // it is an answer as others are: clients get it
		}
	}
	return all
}

// content is equal for answers with the same meaning. Beyond a limit the bytes are compared,
// because a hostile server may make all answers large and different.
func (f *fetcher) content(a *fetched) string {
	f.decoded += len(a.body)
	if f.decoded > maxContent {
		return a.digest()
	}
	return content(a.body)
}

const late = "no answer in time"

func newSample(a *fetched) sample {
	switch {
	case a.err == errTooLarge:
		return sample{kind: "too large", status: "too many bytes"}
	case a.timedOut():
		return sample{kind: "late", status: late, err: a.err}
	case a.err != nil:
		return sample{kind: "no answer", status: "no answer", err: a.err}
	case a.status == http.StatusTooManyRequests:
		return sample{} // the comparison itself may be the cause
	case a.status == http.StatusOK && isHTML(a):
		return sample{kind: "page", status: "a web page"}
	case a.status != http.StatusOK:
		return sample{kind: fmt.Sprintf("%d %s", a.status, a.header.Get("Location")), status: fmt.Sprint(a.status)}
	}
	return sample{kind: "200", status: "200"} // and its content
}

// content is equal for bodies with the same meaning. The order of members, of lists and of
// keys has no meaning in these documents.
func content(body []byte) string {
	d := json.NewDecoder(bytes.NewReader(body))
	d.UseNumber()
	var value any
	if d.Decode(&value) == nil {
		if b, err := json.Marshal(inOrder(value)); err == nil {
			body = b
		}
	}
	sum := sha256.Sum256(bytes.TrimSpace(body))
	return hex.EncodeToString(sum[:])
}

func inOrder(value any) any {
	switch value := value.(type) {
	case map[string]any:
		for name, member := range value {
			value[name] = inOrder(member)
		}
	case []any:
		texts := make([]string, len(value))
		for i, member := range value {
			b, _ := json.Marshal(inOrder(member)) // it was JSON
			texts[i] = string(b)
		}
		slices.Sort(texts)
		sorted := make([]any, len(texts))
		for i, text := range texts {
			sorted[i] = json.RawMessage(text)
		}
		return sorted
	}
	return value
}

// freshClient returns a client with a connection of its own, to a target or on the way that
// every client takes. A transport of another type controls its connections itself.
func (f *fetcher) freshClient(target string) (client *http.Client, done func()) {
	own := *f.client
	transport, ok := f.client.Transport.(*http.Transport)
	if f.client.Transport == nil {
		transport, ok = http.DefaultTransport.(*http.Transport)
	}
	switch {
	case ok:
		transport = transport.Clone()
	case target == "":
		return &own, func() {}
	default:
		transport = &http.Transport{}
	}
	transport.DisableKeepAlives = true
	onlyHTTP1(transport)
	if target != "" {
		f.connectTo(transport, target)
	}
	own.Transport = transport
	return &own, transport.CloseIdleConnections
}

// onlyHTTP1 switches off HTTP/2, with which requests share connections. A transport that has
// been used offers h2 in its TLS configuration.
func onlyHTTP1(transport *http.Transport) {
	transport.Protocols = new(http.Protocols)
	transport.Protocols.SetHTTP1(true)
	transport.ForceAttemptHTTP2 = false
	transport.TLSNextProto = map[string]func(string, *tls.Conn) http.RoundTripper{}
	if transport.TLSClientConfig != nil {
		transport.TLSClientConfig.NextProtos = []string{"http/1.1"} // the clone's own
	}
}

// connectTo lets a transport connect to a target for every host. Nodes behind a proxy often
// do not use TLS: if a node does not answer a handshake, it is requested without TLS. No
// request of the comparison has credentials.
func (f *fetcher) connectTo(transport *http.Transport, target string) {
	var dialer net.Dialer
	//lint:ignore SA1019 the old dial functions of a Client must not be used
	transport.Proxy, transport.Dial, transport.DialTLS = nil, nil, nil
	transport.DialContext = func(ctx context.Context, network, _ string) (net.Conn, error) {
		return dialer.DialContext(ctx, network, target)
	}
	config := transport.TLSClientConfig
	if config == nil {
		config = &tls.Config{}
	}
	transport.DialTLSContext = func(ctx context.Context, network, address string) (net.Conn, error) {
		c, err := dialer.DialContext(ctx, network, target)
		if err != nil {
			return nil, err
		}
		own := config.Clone()
		own.NextProtos = []string{"http/1.1"}
		if own.ServerName == "" {
			own.ServerName, _, _ = net.SplitHostPort(address)
		}
		secure := tls.Client(c, own)
		err = secure.HandshakeContext(ctx)
		if err == nil {
			return secure, nil
		}
		c.Close()
		var noTLS tls.RecordHeaderError
		if errors.As(err, &noTLS) || isHangUp(err) {
			return dialer.DialContext(ctx, network, target)
		}
		return nil, err
	}
}
