package forwarded_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"

	"github.com/seed-94e48765/portico/forwarded"
	"github.com/seed-94e48765/portico/proxyproto"
	"github.com/seed-94e48765/portico/trustnet"
)

// A server behind one proxy on the same host and a second one in 10.0.0.0/8.
func Example() {
	resolver, err := forwarded.New(forwarded.Config{
		Trusted: trustnet.MustParse("loopback", "10.0.0.0/8"),
		Strip:   true,
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		res, _ := forwarded.FromContext(r.Context())
		if !res.ClientKnown() { // no limits, bans or privileges by address
			http.Error(w, "the proxy did not pass on the client's address", http.StatusForbidden)
			return
		}
		fmt.Fprintf(w, "hello %v, by %v", res.Client, res.Peer)
	})
	srv := &http.Server{
		Handler:     resolver.Handler(mux),
		ConnContext: proxyproto.ConnContext, // in case that srv serves a proxyproto.Listener too
	}

	req := httptest.NewRequest("GET", "/", nil)
	req.RemoteAddr = "127.0.0.1:50000"
	req.Header.Add("X-Forwarded-For", "127.0.0.1") // the client's own
	req.Header.Add("X-Forwarded-For", "203.0.113.7")
	req.Header.Add("X-Forwarded-For", "10.0.0.2")
	w := httptest.NewRecorder()
	srv.Handler.ServeHTTP(w, req)
	fmt.Println(w.Body)
	// Output: hello 203.0.113.7, by 127.0.0.1
}

func ExampleNew() {
	// A server that is reached directly: every peer is the client.
	resolver, err := forwarded.New(forwarded.Config{})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(resolver.Resolve(http.Header{}, "203.0.113.7:50000").Client)

	_, err = forwarded.New(forwarded.Config{Trusted: trustnet.MustParse("0.0.0.0/0")})
	fmt.Println(errors.Is(err, trustnet.ErrTrustsAll))
	// Output:
	// 203.0.113.7
	// true
}

// The list can change while the server runs.
func ExampleNew_live() {
	var proxies trustnet.Live
	proxies.Store(trustnet.MustParse("10.0.0.0/8"))
	resolver, err := forwarded.New(forwarded.Config{Trusted: &proxies})
	if err != nil {
		fmt.Println(err)
		return
	}
	h := http.Header{"X-Forwarded-For": {"203.0.113.7"}}
	fmt.Println(resolver.Resolve(h, "10.0.0.1:50000").Client)
	proxies.Store(trustnet.MustParse("192.168.0.0/16"))
	fmt.Println(resolver.Resolve(h, "10.0.0.1:50000").Client)
	// Output:
	// 203.0.113.7
	// 10.0.0.1
}

func ExampleResolver_Resolve() {
	resolver, err := forwarded.New(forwarded.Config{Trusted: trustnet.MustParse("10.0.0.0/8")})
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, value := range []string{
		"127.0.0.1, 203.0.113.7, 10.0.0.2",
		"203.0.113.7, nonsense, 10.0.0.2",
		"203.0.113.7, unknown",
		"10.0.0.3, 10.0.0.2",
	} {
		res := resolver.Resolve(http.Header{"X-Forwarded-For": {value}}, "10.0.0.1:50000")
		fmt.Println(res.ClientKnown(), res.Client, res.Last, res.Hops, res.Reason)
	}
	// Output:
	// true 203.0.113.7 203.0.113.7 2 UntrustedHop
	// false invalid IP 10.0.0.2 1 Malformed
	// false invalid IP 10.0.0.1 0 Obfuscated
	// false invalid IP 10.0.0.3 2 AllTrusted
}

func ExampleResolver_ResolveRequest() {
	resolver, err := forwarded.New(forwarded.Config{
		Trusted: trustnet.MustParse("10.0.0.0/8"),
		Header:  forwarded.Forwarded,
		Proto:   true,
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	req := httptest.NewRequest("GET", "/", nil)
	req.RemoteAddr = "10.0.0.1:50000"
	// The client opens a quote and hopes that it swallows the proxy's element.
	req.Header.Add("Forwarded", `for="127.0.0.1, for="[2001:db8::7]:4711";proto=https`)
	res := resolver.ResolveRequest(req)
	fmt.Println(res.Client, res.Proto, res.Reason)
	// Output: 2001:db8::7 https UntrustedHop
}

func ExampleResolver_Handler() {
	resolver, err := forwarded.New(forwarded.Config{
		Trusted: trustnet.MustParse("10.0.0.0/8"),
		Strip:   true,
		OnResolve: func(r *http.Request, res forwarded.Result) {
			fmt.Println("log:", res.Client, res.Reason, r.Header["X-Forwarded-For"])
		},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	h := resolver.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Println("handler:", r.RemoteAddr, r.Header["X-Forwarded-For"])
	}))
	req := httptest.NewRequest("GET", "/", nil)
	req.RemoteAddr = "203.0.113.7:50000" // not a proxy of ours
	req.Header.Set("X-Forwarded-For", "127.0.0.1")
	h.ServeHTTP(httptest.NewRecorder(), req)
	// Output:
	// log: 203.0.113.7 UntrustedHeader [127.0.0.1]
	// handler: 203.0.113.7:50000 []
}

func ExampleResolver_Explain() {
	resolver, err := forwarded.New(forwarded.Config{Trusted: trustnet.MustParse("10.0.0.0/8")})
	if err != nil {
		fmt.Println(err)
		return
	}
	req := httptest.NewRequest("GET", "/", nil)
	req.RemoteAddr = "10.0.0.1:50000"
	req.Header.Add("X-Forwarded-For", "127.0.0.1, 203.0.113.7")
	req.Header.Add("X-Forwarded-For", "10.0.0.2")
	for _, hop := range resolver.Explain(req) {
		fmt.Println(hop)
	}
	// Output:
	// connection "10.0.0.1:50000": trusted, so its X-Forwarded-For is read
	// X-Forwarded-For line 2 of 2, entry 1 from the right "10.0.0.2": trusted, so the next entry is read
	// X-Forwarded-For line 1 of 2, entry 2 from the right "203.0.113.7": not trusted, so it is the client; nothing to the left of it is read [UntrustedHop]
}

func ExampleFromContext() {
	res, ok := forwarded.FromContext(context.Background())
	fmt.Println(ok, res.ClientKnown(), res.Reason)
	// Output: false false NoPeer
}

// An unknown client gets nothing that depends on its address. The zero Addr is in no
// set, so that a caller who omits the check grants nothing either.
func ExampleResult_ClientKnown() {
	relayClients := trustnet.MustParse("loopback", "10.0.0.0/8")
	mayRelay := func(res forwarded.Result) bool {
		return res.ClientKnown() && relayClients.Contains(res.Client)
	}
	resolver, err := forwarded.New(forwarded.Config{Trusted: trustnet.MustParse("10.0.0.1")})
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, value := range []string{"10.4.5.6", "10.0.0.1", "unknown"} {
		res := resolver.Resolve(http.Header{"X-Forwarded-For": {value}}, "10.0.0.1:50000")
		fmt.Println(res.Client, res.Reason, mayRelay(res))
	}
	// Output:
	// 10.4.5.6 UntrustedHop true
	// invalid IP AllTrusted false
	// invalid IP Obfuscated false
}

// A reverse proxy passes on the entries that it used, and adds its own peer.
func ExampleResolver_SetHeaders() {
	resolver, err := forwarded.New(forwarded.Config{Trusted: trustnet.MustParse("10.0.0.0/8")})
	if err != nil {
		fmt.Println(err)
		return
	}
	backend := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		fmt.Printf("backend: %q\n", r.Header["X-Forwarded-For"])
	}))
	defer backend.Close()
	target, err := url.Parse(backend.URL)
	if err != nil {
		fmt.Println(err)
		return
	}
	proxy := resolver.Handler(&httputil.ReverseProxy{
		Rewrite: func(pr *httputil.ProxyRequest) {
			pr.SetURL(target)
			resolver.SetHeaders(pr.Out, pr.In)
		},
	})

	for _, value := range []string{"127.0.0.1, 203.0.113.7, 10.0.0.2", "203.0.113.7, nonsense"} {
		req := httptest.NewRequest("GET", "/", nil)
		req.RemoteAddr = "10.0.0.1:50000"
		req.Header.Set("X-Forwarded-For", value)
		proxy.ServeHTTP(httptest.NewRecorder(), req)
	}
	// Output:
	// backend: ["203.0.113.7, 10.0.0.2, 10.0.0.1"]
	// backend: ["unknown, 10.0.0.1"]
}

// A load balancer that appends the client's address and its own, such as Google's.
func ExampleConfig_trustedHops() {
	resolver, err := forwarded.New(forwarded.Config{
		Trusted:     trustnet.MustParse("130.211.0.0/22", "35.191.0.0/16"), // what it connects from
		TrustedHops: 2,
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	h := http.Header{"X-Forwarded-For": {"127.0.0.1,203.0.113.7,198.51.100.3"}}
	fmt.Println(resolver.Resolve(h, "130.211.1.2:50000").Client)
	// Output: 203.0.113.7
}

// A vendor that writes the client's address into a header of its own.
func ExampleConfig_singleHeader() {
	resolver, err := forwarded.New(forwarded.Config{
		Trusted:      trustnet.MustParse("198.51.100.0/24"), // the networks that the vendor publishes
		SingleHeader: "CF-Connecting-IP",
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	h := http.Header{"Cf-Connecting-Ip": {"203.0.113.7"}, "X-Forwarded-For": {"127.0.0.1"}}
	fmt.Println(resolver.Resolve(h, "198.51.100.3:50000").Client)
	fmt.Println(resolver.Resolve(h, "192.0.2.9:50000").Reason) // a client that connects past the vendor
	// Output:
	// 203.0.113.7
	// UntrustedHeader
}

// One line for PROXY connections, X-Forwarded-Proto and direct TLS.
func ExampleResult_Secure() {
	resolver, err := forwarded.New(forwarded.Config{Trusted: trustnet.MustParse("10.0.0.0/8"), Proto: true})
	if err != nil {
		fmt.Println(err)
		return
	}
	h := resolver.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		res, _ := forwarded.FromContext(r.Context())
		secure, known := res.Secure()
		fmt.Println(secure, known) // offer passwords only if both are true
	}))
	for _, proto := range []string{"https", "http", ""} {
		req := httptest.NewRequest("GET", "/", nil)
		req.RemoteAddr = "10.0.0.1:50000"
		req.Header.Set("X-Forwarded-For", "203.0.113.7")
		if proto != "" {
			req.Header.Set("X-Forwarded-Proto", proto)
		}
		h.ServeHTTP(httptest.NewRecorder(), req)
	}
	// Output:
	// true true
	// false true
	// false false
}
