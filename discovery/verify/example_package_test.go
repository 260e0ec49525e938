package verify_test

import (
	"context"
	"fmt"
	"net/http/httptest"

	"github.com/seed-94e48765/portico/discovery"
	"github.com/seed-94e48765/portico/discovery/verify"
	"github.com/seed-94e48765/portico/publicurl"
)

// documents returns the documents of a server that publishes a calendar.
func documents(base publicurl.Base, err error) *discovery.Set {
	if err != nil {
		panic(err)
	}
	set, err := discovery.Build(discovery.Config{Base: base, DAV: &discovery.DAV{AddressBookPath: discovery.None}})
	if err != nil {
		panic(err)
	}
	return set
}

// A server publishes the URL of a calendar and does not serve it.
func Example() {
	server := discovery.NewServer(documents(publicurl.Relative("")), discovery.ServerConfig{})
	front := httptest.NewTLSServer(server) // or the URL of a server behind its proxy
	defer front.Close()
	base, err := publicurl.Parse(front.URL)
	server.Swap(documents(base, err))

	report, err := verify.Run(context.Background(), base, verify.Config{Client: front.Client()})
	if err != nil {
		fmt.Println(err) // the check could not run
		return
	}
	for _, f := range report.Findings {
		fmt.Printf("%s: %s of %s: got %q\n", f.Severity, f.Rule, f.Document, f.Got)
	}
	// Output: error: endpoint-missing of dav: got "404 Not Found"
}
