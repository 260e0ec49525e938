package webauth

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/seed-94e48765/portico/discovery"
	"github.com/seed-94e48765/portico/examples/mailfront/internal/client"
	"github.com/seed-94e48765/portico/examples/mailfront/internal/guard"
)

// An introspector is an issuer whose tokens have no signature.
type introspector struct {
	*httptest.Server
	asked    atomic.Int64
	endpoint string                                        // introspection_endpoint, if it is another
	answer   func(http.ResponseWriter, *http.Request) bool // answers first if it returns true
}

func newIntrospector(t *testing.T, start func(http.Handler) *httptest.Server) *introspector {
	t.Helper()
	i := new(introspector)
	mux := http.NewServeMux()
	mux.HandleFunc("/.well-known/openid-configuration", func(w http.ResponseWriter, r *http.Request) {
		endpoint := i.endpoint
		if endpoint == "" {
			endpoint = i.URL + "/introspect"
		}
		WriteJSON(w, http.StatusOK, map[string]any{"issuer": i.URL, "jwks_uri": i.URL + "/keys", "authorization_endpoint": i.URL + "/a", "token_endpoint": i.URL + "/t", "introspection_endpoint": endpoint})
	})
	mux.HandleFunc("/introspect", func(w http.ResponseWriter, r *http.Request) {
		i.asked.Add(1)
		if i.answer == nil || !i.answer(w, r) {
			WriteJSON(w, http.StatusOK, map[string]any{"active": r.PostFormValue("token") == "good", "username": userName})
		}
	})
	i.Server = start(mux)
	t.Cleanup(func() { i.Config.Close() })
	return i
}

// loggedIssuers are Issuers and their log.
func loggedIssuers(issuer string) (*Issuers, *bytes.Buffer) {
	b := new(bytes.Buffer)
	p := testIssuers("", "", issuer)
	p.Log = slog.New(slog.NewTextHandler(b, nil))
	return p, b
}

func TestIssuerRequestsAreLimited(t *testing.T) {
	issuer := newIntrospector(t, httptest.NewServer)
	p, log := loggedIssuers(issuer.URL)
	ctx := apiRequest("").Context()
	limit := guard.DefaultLimits.Rates[guard.LoggingIn].Burst
	_, err := p.Caller(ctx, "good")
	require.NoError(t, err)
	var tooFast int
	for i := range 2 * limit {
		_, err := p.Caller(ctx, fmt.Sprintf("wrong%d", i))
		switch {
		case errors.Is(err, guard.ErrTooFast):
			require.ErrorIs(t, err, discovery.ErrUnavailable, "the token may be valid")
			tooFast++
		default:
			require.Equal(t, ErrWrong, err)
		}
	}
	require.Positive(t, tooFast)
	require.EqualValues(t, 1+2*limit-tooFast, issuer.asked.Load())
	require.Equal(t, 2*limit-tooFast, strings.Count(log.String(), "event=token_refused client_ip=198.51.100.7"), "every refused token is logged")
	_, err = p.Caller(ctx, "good")
	require.NoError(t, err, "a token that was valid a moment ago is not counted")
	a, _ := newAuth(t, p)
	w := httptest.NewRecorder()
	a.Challenge(w, apiRequest(""), tooMany(guard.ErrTooFast))
	require.Equal(t, http.StatusTooManyRequests, w.Code)
}

func TestTokensOfOtherSiteLeaveLogins(t *testing.T) {
	issuer := newIntrospector(t, httptest.NewServer)
	p, _ := loggedIssuers(issuer.URL)
	a, _ := newAuth(t, p)
	limit := guard.DefaultLimits.Rates[guard.LoggingInElsewhere].Burst
	var tooFast int
	for i := range 2 * limit {
		r := apiRequest(fmt.Sprintf("Bearer wrong%d", i))
		r.Header.Set("Origin", "https://other.example")
		if _, err := a.Authenticate(r); errors.Is(err, guard.ErrTooFast) {
			tooFast++
		}
	}
	require.Positive(t, tooFast, "they have a limit, too")
	require.NoError(t, p.Guard.Allow(client.FromRequest(apiRequest("")), guard.LoggingIn))
	_, err := a.Authenticate(apiRequest("Bearer good"))
	require.NoError(t, err)
}

// pipes is a listener for the connections of its own dial.
type pipes chan net.Conn

func (p pipes) Accept() (net.Conn, error) {
	if c, ok := <-p; ok {
		return c, nil
	}
	return nil, net.ErrClosed
}
func (p pipes) Close() error   { close(p); return nil }
func (p pipes) Addr() net.Addr { return &net.TCPAddr{} }
func (p pipes) dial(context.Context, string, string) (net.Conn, error) {
	here, there := net.Pipe()
	p <- there
	return here, nil
}

func TestAnIssuerHasAFewRequestsAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		listener := make(pipes)
		issuer := newIntrospector(t, func(h http.Handler) *httptest.Server {
			s := &http.Server{Handler: h}
			go s.Serve(listener)
			return &httptest.Server{URL: "http://localhost", Config: s, Listener: listener}
		})
		answer := make(chan struct{})
		issuer.answer = func(http.ResponseWriter, *http.Request) bool { <-answer; return false }
		p, _ := loggedIssuers(issuer.URL)
		transport := p.client.Transport.(limitedBodies).RoundTripper.(*http.Transport)
		transport.DialContext = listener.dial
		defer transport.CloseIdleConnections()
		var all sync.WaitGroup
		for i := range 3 * maxProviderBusy {
			all.Go(func() { p.Caller(apiRequest("").Context(), fmt.Sprint("wrong", i)) })
		}
		synctest.Wait()
		require.EqualValues(t, maxProviderBusy, issuer.asked.Load(), "the others wait")
		close(answer)
		all.Wait()
		require.EqualValues(t, 3*maxProviderBusy, issuer.asked.Load())
	})
}

func TestIssuerFailureLogIsLimited(t *testing.T) {
	issuer := newIntrospector(t, httptest.NewServer)
	issuer.answer = func(w http.ResponseWriter, _ *http.Request) bool {
		w.WriteHeader(http.StatusInternalServerError)
		return true
	}
	p, log := loggedIssuers(issuer.URL)
	a, alog := newAuth(t, p)
	for i := range 50 {
		_, err := p.Caller(apiRequest("").Context(), fmt.Sprint("token", i))
		require.ErrorIs(t, err, ErrIssuerAway)
		a.LogError(apiRequest(""), err)
	}
	require.Equal(t, 1, strings.Count(log.String(), "level=ERROR"), log)
	require.Contains(t, log.String(), "500 Internal Server Error")
	require.Equal(t, 49, p.providers[issuer.URL].suppressed)
	require.Empty(t, alog.String(), "it was reported where it happened")
}

func TestCanceledRequestIsNotReported(t *testing.T) {
	issuer := newIntrospector(t, httptest.NewServer)
	p, log := loggedIssuers(issuer.URL)
	ctx, cancel := context.WithCancel(apiRequest("").Context())
	issuer.answer = func(_ http.ResponseWriter, r *http.Request) bool {
		cancel()
		<-r.Context().Done()
		return true
	}
	for range 3 {
		_, err := p.Caller(ctx, "token")
		require.ErrorIs(t, err, ErrIssuerAway)
	}
	require.NotContains(t, log.String(), "level=ERROR")
}

// A token and the secret of a client must not be sent over plain HTTP.
func TestHTTPSIssuerEndpoints(t *testing.T) {
	issuer := newIntrospector(t, httptest.NewTLSServer)
	plain := newIntrospector(t, httptest.NewServer)
	for _, tc := range []struct {
		name, endpoint string
		want           error
	}{
		{name: "https", endpoint: ""},
		{name: "http", endpoint: plain.URL + "/introspect", want: ErrIssuerAway},
	} {
		t.Run(tc.name, func(t *testing.T) {
			issuer.endpoint = tc.endpoint
			p, log := loggedIssuers(issuer.URL)
			p.client.Transport = issuer.Client().Transport
			_, err := p.Caller(apiRequest("").Context(), "good")
			require.ErrorIs(t, err, tc.want)
			require.Equal(t, tc.want != nil, strings.Contains(log.String(), "not an https URL"), log)
			require.Zero(t, plain.asked.Load())
		})
	}
}

// A token without a signature does not name its issuer. An issuer that is asked about the token
// of another could use it.
func TestUnsignedTokenIssuer(t *testing.T) {
	for _, test := range []struct {
		name          string
		issuers       int
		introspection int // the index of the issuer that is set, or -1
		asked         []int64
		status        int
	}{
		{name: "one issuer", issuers: 1, introspection: -1, asked: []int64{1}, status: http.StatusOK},
		{name: "two issuers", issuers: 2, introspection: -1, asked: []int64{0, 0}, status: http.StatusUnauthorized},
		{name: "two issuers, the second is set", issuers: 2, introspection: 1, asked: []int64{0, 1}, status: http.StatusOK},
	} {
		t.Run(test.name, func(t *testing.T) {
			var all []*introspector
			var urls []string
			for range test.issuers {
				i := newIntrospector(t, httptest.NewServer)
				all, urls = append(all, i), append(urls, i.URL)
			}
			b := new(bytes.Buffer)
			config := testIssuers("", "", urls...).IssuersConfig
			config.Introspection, config.Log = "", slog.New(slog.NewTextHandler(b, nil))
			if test.introspection >= 0 {
				config.Introspection = urls[test.introspection]
			}
			p := NewIssuers(config)
			require.Equal(t, test.status, statusOf(t, p, "good"))
			for i, issuer := range all {
				require.Equal(t, test.asked[i], issuer.asked.Load(), "issuer %d", i)
			}
			for range 3 {
				statusOf(t, p, "good")
			}
			lines := strings.Count(b.String(), "MAILFRONT_INTROSPECTION_ISSUER")
			require.Equal(t, test.status == http.StatusUnauthorized, lines == 1, b)
		})
	}
}

func TestCheckIsNotLimited(t *testing.T) {
	i := newIntrospector(t, httptest.NewServer)
	p := testIssuers("", "", i.URL)
	ctx := apiRequest("").Context() // of a known client
	wrong := func(check func(context.Context, string) (Caller, error), n int) (err error) {
		for range guard.DefaultLimits.Rates[guard.LoggingIn].Burst + 50 {
			n++
			if _, err = check(ctx, fmt.Sprint("wrong", n)); !errors.Is(err, ErrWrong) {
				return err
			}
		}
		return err
	}
	require.ErrorIs(t, wrong(p.Check, 0), ErrWrong)
	require.ErrorIs(t, wrong(p.Caller, 1000), guard.ErrTooFast)
	c, err := p.Check(ctx, "good")
	require.NoError(t, err)
	require.Equal(t, userName, c.Account)
}
