package forwarded_test

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed-94e48765/portico/forwarded"
	"github.com/seed-94e48765/portico/trustnet"
)

func TestSingleHeaderIsNotAHeaderOfClients(t *testing.T) {
	for _, name := range []string{
		"Host", "HOST", "Authorization", "Proxy-Authorization", "Cookie", "User-Agent", "Referer", "Origin", "From", "Accept",
		"Accept-Language", "Content-Type", "content-length", "If-None-Match", "Range", "Connection", "Keep-Alive", "TE", "Trailer",
		"Transfer-Encoding", "Upgrade", "Proxy-Connection", "Sec-Fetch-Site", "Access-Control-Request-Method", "Cache-Control",
	} {
		_, err := forwarded.New(forwarded.Config{SingleHeader: name})
		require.EqualError(t, err, `forwarded: Config.SingleHeader is "`+name+
			`", which clients set themselves: want a header that the proxy writes, such as CF-Connecting-IP, True-Client-IP or X-Real-IP`)
	}
	for _, name := range []string{
		"CF-Connecting-IP", "CF-Connecting-IPv6", "True-Client-IP", "Fly-Client-IP", "X-Real-IP", "X-Client-IP", "X-Forwarded-For", "X-Envoy-External-Address",
		"X-Azure-ClientIP", "X-Original-Forwarded-For", "Fastly-Client-IP", "X-Hosted-By", "Ifa", "Client-IP", "Originating-IP",
	} {
		_, err := forwarded.New(forwarded.Config{SingleHeader: name})
		require.NoError(t, err, name)
	}
}

// Without trusted peers the header is not read, and the Reason is UntrustedHeader.
func TestAHeaderThatIsNeverReadIsReported(t *testing.T) {
	for _, tt := range []struct {
		name   string
		config forwarded.Config
		header string
	}{
		{name: "SingleHeader", config: forwarded.Config{SingleHeader: "X-Example-Client"}, header: "X-Example-Client"},
		{name: "TrustedHops", config: forwarded.Config{TrustedHops: 1}, header: "X-Forwarded-For"},
		{name: "TrustedHops of Forwarded", config: forwarded.Config{TrustedHops: 1, Header: forwarded.Forwarded}, header: "Forwarded"},
	} {
		for _, trusted := range []trustnet.Source{nil, new(trustnet.Set), new(trustnet.Live)} {
			tt.config.Trusted = trusted
			r, err := forwarded.New(tt.config)
			require.NoError(t, err, tt.name)
			got := r.Resolve(http.Header{tt.header: {"192.0.2.7"}}, "198.51.100.1:4567")
			require.Equal(t, forwarded.UntrustedHeader, got.Reason, tt.name)
			require.Equal(t, "198.51.100.1", got.Client.String(), tt.name)
		}
	}
}
