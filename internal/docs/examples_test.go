package docs

import (
	"go/ast"
	"go/doc"
	"go/parser"
	"go/token"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// pkg.go.dev shows these Examples. Each has checked output. "" is the Example of the package.
var examples = map[string][]string{
	"trustnet":         {"", "Parse", "ParseMasked", "Read", "Live", "Names", "ParseError", "Set_TrustsAll"},
	"proxyproto":       {"", "New", "FromConn", "ConnContext", "Secure", "Split", "Forward", "Dialer", "WriteHeader", "TLSFromState", "Info_ClientKnown", "Listener_SetDeadline", "Listener_Shutdown", "Listener_Stats"},
	"forwarded":        {"", "New", "FromContext", "Resolver_Handler", "Resolver_Resolve", "Resolver_SetHeaders", "Resolver_Explain", "Result_ClientKnown", "Result_Secure"},
	"publicurl":        {"", "FromEnv", "FromHostname", "Relative", "Base_Contains", "Base_WellKnown"},
	"discovery":        {"", "Server", "OAuth", "OpenID", "Resource", "DAV", "WebUI", "MTASTS", "Set_Session", "Set_Challenge", "Set_DNS"},
	"discovery/verify": {"", "Run"},
}

func TestExamplesExistAndHaveOutput(t *testing.T) {
	for name, want := range examples {
		t.Run(name, func(t *testing.T) {
			sources, err := filepath.Glob(filepath.Join("..", "..", filepath.FromSlash(name), "*_test.go"))
			require.NoError(t, err)
			var files []*ast.File
			for _, source := range sources {
				file, err := parser.ParseFile(token.NewFileSet(), source, nil, parser.ParseComments)
				require.NoError(t, err)
				files = append(files, file)
			}
			var got []string
			for _, e := range doc.Examples(files...) {
				got = append(got, e.Name)
				require.True(t, e.Output != "" || e.EmptyOutput, "Example%s has no output that go test checks", e.Name)
			}
			require.Subset(t, got, want)
		})
	}
}
