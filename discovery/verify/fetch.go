package verify

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/seed-94e48765/portico/publicurl"
)

// A fetch is a request of Run. It is the key under which answers are kept.
type fetch struct {
	method string
	url    string
	token  bool // with the token of Config.Bearer, if the URL may have it
	plain  bool // not as a web application does it: without Origin
}

func get(u string) fetch       { return fetch{method: http.MethodGet, url: u} }
func postEmpty(u string) fetch { return fetch{method: http.MethodPost, url: u} }
func propfind(u string) fetch  { return fetch{method: "PROPFIND", url: u} }
func options(u string) fetch   { return fetch{method: http.MethodOptions, url: u} }

// verifyOrigin is the origin of the web application that Run claims to be, to get the CORS
// header fields. RFC 2606 reserves the name.
const verifyOrigin = "https://portico-verify.invalid"

const userAgent = "portico-verify"

// A fetched is an answer, or the reason why there is no answer.
type fetched struct {
	url     string
	status  int
	header  http.Header
	body    []byte
	reached bool  // there was a connection
	late    bool  // the time for all requests had passed
	err     error // nil if there is a status
}

var (
	errTooLarge = errors.New("verify: the answer is too large")
	errNotAsked = errors.New("verify: this URL is not requested, because it is not the server's")
)

// said returns the status, "404 Not Found", or the reason why no answer came.
func (a *fetched) said() string {
	if a.err != nil {
		return unwrapURL(a.err).Error()
	}
	return strings.TrimSpace(strconv.Itoa(a.status) + " " + http.StatusText(a.status))
}

func (a *fetched) digest() string {
	if a.err != nil || len(a.body) == 0 {
		return ""
	}
	sum := sha256.Sum256(a.body)
	return hex.EncodeToString(sum[:])
}

func (a *fetched) timedOut() bool {
	var t interface{ Timeout() bool }
	return errors.Is(a.err, context.DeadlineExceeded) || errors.As(a.err, &t) && t.Timeout()
}

// isRedirect reports whether the answer is a redirect with a location.
func (a *fetched) isRedirect() bool {
	switch a.status {
	case http.StatusMovedPermanently, http.StatusFound, http.StatusSeeOther, http.StatusTemporaryRedirect, http.StatusPermanentRedirect:
		return a.err == nil && a.header.Get("Location") != ""
	}
	return false
}

func (a *fetched) isAbsent() bool {
	return a.err == nil && (a.status == http.StatusNotFound || a.status == http.StatusGone)
}

// location returns the target of a redirect as an absolute URL. It returns "" if the answer
// is not a redirect.
func (a *fetched) location() string {
	from, err := url.Parse(a.url)
	if err != nil {
		return ""
	}
	to, err := from.Parse(a.header.Get("Location"))
	if err != nil {
		return ""
	}
	return to.String()
}

// A fetcher makes each request once, several at a time, within the limits of time and bytes.
type fetcher struct {
	client   *http.Client
	own      *http.Transport // closed at the end, unless it is the caller's
	base     publicurl.Base
	settings settings
	hosts    map[string]bool // origins besides that of the base: those of mail domains
	jmap     string          // the well-known location
	nonce    string          // a query that no cache has seen

	calls   map[fetch]*call
	slots   chan struct{}
	running sync.WaitGroup
	reached atomic.Bool // some request to the base's origin has reached something
	decoded int         // bytes of answers that were compared
	unasked int         // requests that the whole time was too short for
}

type call struct {
	done   chan struct{}
	answer *fetched
	noted  bool
}

const (
	maxParallel    = 4
	maxHeaderBytes = 64 << 10 // of an answer, all fields together
)

func newFetcher(base publicurl.Base, s settings) *fetcher {
	f := &fetcher{base: base, settings: s, hosts: make(map[string]bool), calls: make(map[fetch]*call), slots: make(chan struct{}, maxParallel)}
	client := s.Client
	if client == nil {
		f.own = &http.Transport{Proxy: http.ProxyFromEnvironment, ForceAttemptHTTP2: true}
		if t, ok := http.DefaultTransport.(*http.Transport); ok { // otherwise the program has replaced the default
			f.own = t.Clone()
		}
		f.own.MaxResponseHeaderBytes = maxHeaderBytes
		client = &http.Client{Transport: f.own}
	}
	own := *client
	own.Jar = nil // the caller's jar would store the cookies of the answers
	own.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	f.client = &own
	f.nonce = "portico-verify=" + rand.Text()
	f.jmap = wellKnown(base, jmapName)
	for _, d := range s.MailDomains {
		f.hosts["https://"+d] = true
		for _, prefix := range mailHosts {
			f.hosts["https://"+prefix+d] = true
		}
	}
	return f
}

// close ends the requests that still run.
func (f *fetcher) close(cancel context.CancelFunc) {
	cancel()
	f.running.Wait()
	if f.own != nil {
		f.own.CloseIdleConnections()
	}
}

// start makes requests in the background.
func (f *fetcher) start(ctx context.Context, all ...fetch) {
	for _, r := range all {
		if f.calls[r] != nil {
			continue
		}
		c := &call{done: make(chan struct{})}
		f.calls[r] = c
		f.running.Go(func() {
			defer close(c.done)
			f.slots <- struct{}{}
			c.answer = f.send(ctx, r)
			<-f.slots
		})
	}
}

// do returns the answer, and whether the request is made for the first time.
func (f *fetcher) do(ctx context.Context, r fetch) (*fetched, bool) {
	f.start(ctx, r)
	c := f.calls[r]
	<-c.done
	first := !c.noted
	c.noted = true
	if first && c.answer.late && !c.answer.reached {
		f.unasked++
	}
	return c.answer, first
}

// mayAsk restricts requests to the hosts of the base and the mail domains, whatever documents
// and redirects refer to.
func (f *fetcher) mayAsk(u string) bool {
	if f.base.SameOrigin(u) {
		return true
	}
	p, err := url.Parse(u)
	return err == nil && p.User == nil && f.hosts[p.Scheme+"://"+p.Host]
}

// isSignedIn reports whether a request has credentials. Other programs may be at the same
// origin, outside of the path of the base.
func (f *fetcher) isSignedIn(r fetch) bool {
	return r.token && f.settings.Bearer != "" && (f.base.Contains(r.url) || r.url == f.jmap)
}

func (f *fetcher) send(ctx context.Context, r fetch) *fetched { return f.sendBy(ctx, f.client, r) }

func (f *fetcher) sendBy(ctx context.Context, client *http.Client, r fetch) *fetched {
	a := &fetched{url: r.url, header: http.Header{}}
	if !f.mayAsk(r.url) {
		a.err = errNotAsked
		return a
	}
	whole := ctx
	ctx, cancel := context.WithTimeout(whole, f.settings.RequestTimeout)
	defer cancel()
	var reached atomic.Bool // a dial may go on after its request has ended
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotConn: func(httptrace.GotConnInfo) { reached.Store(true) }})
	req, err := http.NewRequestWithContext(ctx, r.method, r.url, nil)
	if err != nil {
		a.err = err
		return a
	}
	f.setHeader(req.Header, r)
	res, err := client.Do(req)
	if err == nil {
		reached.Store(true) // also if a RoundTripper does not support httptrace
		defer res.Body.Close()
		a.status, a.header = res.StatusCode, res.Header
		switch {
		case headerSize(res.Header) > maxHeaderBytes: // all answers are kept
			a.header, err = http.Header{}, errTooLarge
		case r.method == http.MethodOptions:
		case a.status == http.StatusSwitchingProtocols:
			// The following bytes are not a body, and the context does not end a Read of them.
		default:
			a.body, err = io.ReadAll(io.LimitReader(res.Body, f.settings.MaxBytes+1))
			if err = checkCoding(res.Header, a.body, err); err == nil {
				err = ctx.Err() // a server that notices the end of the connection may end its answer
			}
		}
		if int64(len(a.body)) > f.settings.MaxBytes {
			a.body, err = nil, errTooLarge
		}
	}
	a.err, a.late = err, err != nil && whole.Err() != nil
	a.reached = reached.Load()
	if a.reached && f.base.SameOrigin(r.url) {
		f.reached.Store(true)
	}
	return a
}

func headerSize(h http.Header) (n int) {
	for name, values := range h {
		for _, v := range values {
			n += len(name) + len(v)
		}
	}
	return n
}

func (f *fetcher) setHeader(h http.Header, r fetch) {
	h.Set("User-Agent", userAgent)
	if r.plain {
		return
	}
	h.Set("Origin", verifyOrigin)
	switch r.method {
	case http.MethodGet:
		h.Set("Accept", "application/json, */*;q=0.5")
	case http.MethodPost:
		h.Set("Accept", "application/json")
		h.Set("Content-Type", "application/x-www-form-urlencoded")
	case "PROPFIND":
		h.Set("Depth", "0")
	case http.MethodOptions:
		h.Set("Access-Control-Request-Method", "GET")
		h.Set("Access-Control-Request-Headers", "authorization")
	}
	if f.isSignedIn(r) {
		h.Set("Authorization", "Bearer "+f.settings.Bearer)
	}
}

// answersBelow reports whether the server has answered below the path of the base.
func (f *fetcher) answersBelow() bool {
	for r, c := range f.calls {
		a := c.answer
		if f.base.Contains(r.url) && a.err == nil && !isHTML(a) &&
			(a.status < 400 || a.status == http.StatusUnauthorized || a.status == http.StatusBadRequest) {
			return true
		}
	}
	return false
}

// unreachable returns the error of Run if no request reached any server.
func (f *fetcher) unreachable() error {
	if f.reached.Load() {
		return nil
	}
	var first error
	for r, c := range f.calls {
		<-c.done
		if c.answer.err == nil || !f.base.SameOrigin(r.url) {
			continue
		}
		err := c.answer.err
		if hint, ok := f.certificateHint(err); ok {
			return fmt.Errorf("the certificate is not trusted: %s: %w", hint, unwrapURL(err))
		}
		if first == nil || r.url == f.jmap { // always the same one
			first = err
		}
	}
	if first != nil && isHangUp(first) {
		return fmt.Errorf("nothing can be reached: %s: %w", hangUpHint, unwrapURL(first))
	}
	return fmt.Errorf("nothing can be reached: check host, port and scheme: %w", unwrapURL(first))
}

// unwrapURL removes the method and the URL from an error.
func unwrapURL(err error) error {
	var e *url.Error
	if errors.As(err, &e) {
		return e.Err
	}
	return err
}
