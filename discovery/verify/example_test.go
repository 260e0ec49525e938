package verify_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"

	"github.com/seed-94e48765/portico/discovery/verify"
	"github.com/seed-94e48765/portico/publicurl"
)

// A server that makes its URLs from the connection that the proxy opens.
func ExampleRun() {
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/.well-known/oauth-authorization-server" {
			http.NotFound(w, r)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Access-Control-Allow-Origin", "*")
		fmt.Fprint(w, `{"issuer":"http://10.0.0.5:8080","token_endpoint":"http://10.0.0.5:8080/token",
			"grant_types_supported":["client_credentials"],"response_types_supported":[]}`)
	}))
	defer server.Close()
	base, err := publicurl.Parse(server.URL)
	if err != nil {
		panic(err)
	}
	report, err := verify.Run(context.Background(), base, verify.Config{Client: server.Client()})
	if err != nil {
		panic(err)
	}
	for _, f := range report.Findings {
		fmt.Println(f.Severity, f.Rule, f.Field, f.Got)
		fmt.Println(f.Mistake)
	}
	// Output:
	// error issuer-not-identical issuer http://10.0.0.5:8080
	// public-url-differs
	// error url-outside-base token_endpoint http://10.0.0.5:8080/token
	// public-url-differs
}
