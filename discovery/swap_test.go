package discovery

import (
	"maps"
	"net/http"
	"net/http/httptest"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
)

// An answer has the parts of a response that must come from one Set.
type answered struct {
	status int
	header string
	body   string
}

// A hookedWriter calls a function in the middle of an answer.
type hookedWriter struct {
	*httptest.ResponseRecorder
	hook func()
}

func (w hookedWriter) Header() http.Header {
	w.hook()
	return w.ResponseRecorder.Header()
}

func (w hookedWriter) WriteHeader(status int) {
	w.hook()
	w.ResponseRecorder.WriteHeader(status)
}

func answerTo(h http.Handler, r *http.Request, hook func()) answered {
	w := httptest.NewRecorder()
	h.ServeHTTP(hookedWriter{w, hook}, r)
	var header strings.Builder
	for _, name := range slices.Sorted(maps.Keys(w.Header())) {
		header.WriteString(name + ": " + strings.Join(w.Header()[name], "|") + "\n")
	}
	return answered{w.Code, header.String(), w.Body.String()}
}

// swapRequests are requests for every path of the sets: signed in, not signed in,
// conditional, for a host, and one that Next answers.
func swapRequests(sets []*Set) []*http.Request {
	paths := map[string]bool{"/next": true}
	for _, set := range sets {
		for path := range set.routes {
			paths[path] = true
		}
		for _, prefix := range set.accounts {
			paths[prefix+"demo@example.com"] = true
		}
	}
	var requests []*http.Request
	for _, path := range slices.Sorted(maps.Keys(paths)) {
		for _, field := range []string{"", "Authorization", "If-None-Match"} {
			r := httptest.NewRequest("GET", "/", nil)
			r.URL.Path = path
			r.Host = "a.example"
			switch field {
			case "Authorization":
				r.Header.Set(field, "Bearer demo")
			case "If-None-Match":
				var tags []string
				for _, set := range sets {
					for _, doc := range set.documents {
						tags = append(tags, doc.etag)
					}
				}
				r.Header.Set(field, strings.Join(tags, ", "))
			}
			requests = append(requests, r)
		}
	}
	return requests
}

// swapConfig answers requests for the session, and for /next with values from the current Set, as
// an endpoint of the application does.
func swapConfig(current func() *Set) ServerConfig {
	return ServerConfig{
		Session: func(r *http.Request) (Account, error) {
			runtime.Gosched() // a swap while a request is in the middle
			if r.Header.Get("Authorization") == "" {
				return Account{}, ErrUnauthenticated
			}
			return demoAccount(), nil
		},
		Next: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path != "/next" {
				return // a document that the Set of this request does not have
			}
			set := current()
			runtime.Gosched()
			_, state, _ := set.Session(demoAccount())
			w.Header().Set("Www-Authenticate", set.Challenge(nil, "/jmap/session"))
			w.Header().Set("Session-State", state)
			w.Header().Set("Location", set.Issuer()+"/callback?iss="+set.Issuer())
		}),
	}
}

func swapSets(t *testing.T) []*Set {
	var sets []*Set
	for _, base := range []string{"https://a.example", "", "https://b.example:8443/mail", "/mail", "https://c.example/mail"} {
		sets = append(sets, fullSet(t, base))
	}
	return sets
}

// A request that begins with one Set ends with it, at whatever time the swap comes.
func TestSwapDuringAnswer(t *testing.T) {
	sets := swapSets(t)
	for i, set := range sets {
		other := sets[(i+1)%len(sets)]
		for _, r := range swapRequests(sets) {
			config := swapConfig(func() *Set { return set })
			want := answerTo(NewServer(set, config), r, func() {})
			var server *Server
			session := config.Session
			config.Session = func(r *http.Request) (Account, error) {
				server.Swap(other)
				return session(r)
			}
			server = NewServer(set, config)
			got := answerTo(server, r, func() { server.Swap(other) })
			require.Equal(t, want, got, "%s", r.URL.Path)
		}
	}
}

// While sets are swapped, every answer is byte for byte the answer of one of them. Each body has
// one base and its own ETag, and challenge, issuer and session belong together.
func TestSwapNeverMixesTwoSets(t *testing.T) {
	const swaps = 10_000
	sets := swapSets(t)
	requests := swapRequests(sets)
	want := make([]map[answered]int, len(requests)) // the sets that give this answer
	for i, set := range sets {
		h := NewServer(set, swapConfig(func() *Set { return set }))
		for j, r := range requests {
			if want[j] == nil {
				want[j] = make(map[answered]int)
			}
			answer := answerTo(h, r, runtime.Gosched)
			want[j][answer] |= 1 << i
			// The answer has no other base.
			for _, name := range []string{"a.example", "b.example", "c.example"} {
				if strings.Contains(answer.header+answer.body, "//"+name) {
					require.Contains(t, set.Base().String(), name)
				}
			}
		}
	}

	var server *Server // its configuration refers to it
	server = NewServer(sets[0], swapConfig(func() *Set { return server.Current() }))
	h := server
	var (
		readers sync.WaitGroup
		wrong   atomic.Pointer[answered]
		done    = make(chan struct{})
		tick    = make(chan struct{})
		seen    [2]atomic.Int64 // sets whose own answers were seen, as bits
	)
	for n := range 2 {
		readers.Go(func() {
			for i := n * len(requests) / 2; ; i++ {
				j := i % len(requests)
				answer := answerTo(h, requests[j], runtime.Gosched)
				from, ok := want[j][answer]
				if !ok {
					wrong.CompareAndSwap(nil, &answer)
				}
				if from&(from-1) == 0 {
					seen[n].Or(int64(from))
				}
				select {
				case tick <- struct{}{}:
				case <-done:
					return
				}
			}
		})
	}
	for i := range swaps {
		if i%10 == 0 { // a failed Build in between
			set, err := Build(Config{Base: mustBase(t, "https://d.example"), JMAP: &JMAP{SessionPath: None}})
			require.Error(t, err)
			server.Swap(set)
		}
		server.Swap(sets[i%len(sets)])
		<-tick
	}
	close(done)
	readers.Wait()
	if answer := wrong.Load(); answer != nil {
		t.Fatalf("no set answers so: %+v", *answer)
	}
	require.EqualValues(t, 1<<len(sets)-1, seen[0].Load()|seen[1].Load(), "answers of every set were seen")
}
