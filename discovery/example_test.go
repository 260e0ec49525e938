package discovery_test

import (
	"bytes"
	"crypto/rand"
	"crypto/subtle"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"

	"github.com/seed-94e48765/portico/discovery"
	"github.com/seed-94e48765/portico/publicurl"
)

// build returns a Set for a valid base.
func build(base publicurl.Base) *discovery.Set {
	set, err := discovery.Build(discovery.Config{
		Base: base,
		JMAP: &discovery.JMAP{Capabilities: map[string]any{"urn:ietf:params:jmap:mail": nil}},
		DAV:  &discovery.DAV{},
	})
	if err != nil {
		panic(err)
	}
	return set
}

func mustParse(s string) publicurl.Base {
	base, err := publicurl.Parse(s)
	if err != nil {
		panic(err)
	}
	return base
}

// A server starts without a host name and gets one later, while it runs. All documents change
// at once, and do not depend on the Host field.
func ExampleServer() {
	demoToken := rand.Text()
	bootstrap, err := publicurl.Relative("")
	if err != nil {
		fmt.Println(err)
		return
	}
	server := discovery.NewServer(build(bootstrap), discovery.ServerConfig{
		Session: func(r *http.Request) (discovery.Account, error) {
			token := []byte(r.Header.Get("Authorization"))
			if subtle.ConstantTimeCompare(token, []byte("Bearer "+demoToken)) == 0 {
				return discovery.Account{}, discovery.ErrUnauthenticated
			}
			return discovery.Account{Username: "demo@example.com"}, nil
		},
		Next: http.NotFoundHandler(), // the rest of the application
	})
	front := httptest.NewServer(server)
	defer front.Close()

	show := func() {
		client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
		res, err := client.Get(front.URL + "/.well-known/jmap")
		if err != nil {
			fmt.Println(err)
			return
		}
		defer res.Body.Close()
		fmt.Println(res.StatusCode, res.Header.Get("Location"), res.Header.Get("Cache-Control"))
	}
	show()
	server.Swap(build(mustParse("https://mail.example.com")))
	show()
	server.Swap(build(mustParse("https://example.com/mail")))
	show()
	// Output:
	// 307 /jmap/session no-store
	// 307 https://mail.example.com/jmap/session no-cache
	// 307 https://example.com/mail/jmap/session no-cache
}

// The session document of RFC 8620 section 2, and the state that the API endpoint
// gives as sessionState.
func ExampleSet_Session() {
	body, state, err := build(mustParse("https://example.com/mail")).Session(discovery.Account{
		Username: "demo@example.com",
		Accounts: map[string]discovery.JMAPAccount{
			"A1": {Name: "demo@example.com", IsPersonal: true, Capabilities: map[string]any{"urn:ietf:params:jmap:mail": nil}},
		},
		PrimaryAccounts: map[string]string{"urn:ietf:params:jmap:mail": "A1"},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	var indented bytes.Buffer
	if err := json.Indent(&indented, body, "", "  "); err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(indented.String())
	fmt.Println("sessionState:", state)
	// Output:
	// {
	//   "capabilities": {
	//     "urn:ietf:params:jmap:core": {
	//       "maxSizeUpload": 50000000,
	//       "maxConcurrentUpload": 4,
	//       "maxSizeRequest": 10000000,
	//       "maxConcurrentRequests": 4,
	//       "maxCallsInRequest": 16,
	//       "maxObjectsInGet": 500,
	//       "maxObjectsInSet": 500,
	//       "collationAlgorithms": []
	//     },
	//     "urn:ietf:params:jmap:mail": {}
	//   },
	//   "accounts": {
	//     "A1": {
	//       "name": "demo@example.com",
	//       "isPersonal": true,
	//       "isReadOnly": false,
	//       "accountCapabilities": {
	//         "urn:ietf:params:jmap:mail": {}
	//       }
	//     }
	//   },
	//   "primaryAccounts": {
	//     "urn:ietf:params:jmap:mail": "A1"
	//   },
	//   "username": "demo@example.com",
	//   "apiUrl": "https://example.com/mail/jmap/",
	//   "downloadUrl": "https://example.com/mail/jmap/download/{accountId}/{blobId}/{name}?accept={type}",
	//   "uploadUrl": "https://example.com/mail/jmap/upload/{accountId}/",
	//   "state": "EWPbn-GWwQv4LysK"
	// }
	// sessionState: EWPbn-GWwQv4LysK
}

// CalDAV clients begin with PROPFIND, and 307 keeps it (RFC 6764 section 5).
func ExampleDAV() {
	handler := discovery.NewServer(build(mustParse("https://example.com/mail")), discovery.ServerConfig{})
	for _, path := range []string{"/.well-known/caldav", "/.well-known/carddav"} {
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, httptest.NewRequest("PROPFIND", path, nil))
		fmt.Println(w.Code, w.Header().Get("Location"))
	}
	// Output:
	// 307 https://example.com/mail/dav/cal/
	// 307 https://example.com/mail/dav/card/
}

// Every mistake is reported, not only the first.
func ExampleBuild_errors() {
	_, err := discovery.Build(discovery.Config{
		Base: mustParse("https://mail.example.com"),
		JMAP: &discovery.JMAP{UploadPath: "/upload"},
		DAV:  &discovery.DAV{CalendarPath: "calendars"},
	})
	fmt.Println(err)
	// Output:
	// discovery: jmap-session: uploadUrl: "/upload": the template must contain the variable {accountId} (RFC 8620 section 2)
	// discovery: dav: CalendarPath: "calendars": use a path below the base: publicurl: path not usable at byte 0 of "calendars": begin the path with "/"; a whole URL is never joined
}

// A handler for an endpoint calls Current once, so that its answer comes from one Set.
func ExampleServer_Current() {
	server := discovery.NewServer(build(mustParse("https://mail.example.com")), discovery.ServerConfig{})
	callback := func(w http.ResponseWriter, r *http.Request) {
		set := server.Current()
		io.WriteString(w, "iss="+set.Issuer()) // RFC 9207 section 2
	}
	w := httptest.NewRecorder()
	callback(w, httptest.NewRequest("GET", "/login", nil))
	fmt.Println(w.Body)
	// Output: iss=https://mail.example.com
}
