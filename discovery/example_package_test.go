package discovery_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"

	"github.com/seed-94e48765/portico/discovery"
	"github.com/seed-94e48765/portico/publicurl"
)

// A server publishes its documents for the URL that people use, however a request arrives.
func Example() {
	base, err := publicurl.Parse("https://example.com/mail")
	if err != nil {
		fmt.Println(err)
		return
	}
	set, err := discovery.Build(discovery.Config{
		Base:  base,
		OAuth: &discovery.OAuth{RegistrationPath: "/auth/register"}, // optional endpoints are absent unless set
		Mail: &discovery.Mail{
			Domains:  []string{"example.com"},
			Services: []discovery.Service{{Protocol: discovery.IMAP}, {Protocol: discovery.Submission}},
		},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	server := discovery.NewServer(set, discovery.ServerConfig{Next: http.NotFoundHandler()})

	r := httptest.NewRequest("GET", "http://10.0.0.5:8080/mail/.well-known/oauth-authorization-server", nil)
	w := httptest.NewRecorder()
	server.ServeHTTP(w, r)
	fmt.Println(w.Code, set.Issuer())
	fmt.Println(string(set.Bytes(discovery.OAuthDocument)) == w.Body.String())
	// Output:
	// 200 https://example.com/mail
	// true
}
