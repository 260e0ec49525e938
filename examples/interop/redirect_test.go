package interop

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"
)

// If TLS passes through, the proxy must redirect port 80, because browsers connect to it for a
// typed name.
func TestPassthroughRedirectsPort80(t *testing.T) {
	for _, product := range httpProxies {
		if product.product == "caddy" {
			continue // has no TCP mode
		}
		t.Run(product.product, func(t *testing.T) {
			p := product.startTCP(t, startMailfront(t), "passthrough"+product.suffix, nil)
			for _, c := range []struct{ host, path, want string }{
				{host: serverName, path: "/mail?a=b%2F", want: "https://" + serverName + "/mail?a=b%2F"},
				{host: serverName + ":80", path: "/", want: "https://" + serverName + "/"},
				{host: "[2001:db8::1]:8080", path: "/", want: "https://[2001:db8::1]/"},
			} {
				request, err := http.NewRequest(http.MethodGet, "http://"+c.host+c.path, nil)
				require.NoError(t, err)
				client := httpClient(t, p.client("http")(t))
				client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
				response, err := client.Do(request)
				require.NoError(t, err)
				response.Body.Close()
				require.Equal(t, http.StatusMovedPermanently, response.StatusCode)
				require.Equal(t, c.want, response.Header.Get("Location"))
			}
		})
	}
}
