package proxies

import (
	"net/http"
	"net/textproto"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed-94e48765/portico/forwarded"
	"github.com/seed-94e48765/portico/trustnet"
)

// A cloudRow is a request with the headers that clouds.md shows.
type cloudRow struct {
	name    string
	headers string // as on the page
	peer    string
	config  forwarded.Config
	trusted string
	client  string // "" if it is not known
	reason  forwarded.Reason
	secure  bool
}

const (
	google     = "X-Forwarded-For: 198.51.100.9,203.0.113.7,192.0.2.80"
	alb        = "X-Forwarded-For: 198.51.100.9, 203.0.113.7\nX-Forwarded-Proto: https"
	albPort    = "X-Forwarded-For: 203.0.113.7:41000"
	cloudFront = "X-Forwarded-For: 198.51.100.9, 203.0.113.7, 192.0.2.44"
	forgedOnly = "X-Forwarded-For: 198.51.100.9"
	azure      = "X-Forwarded-For: 198.51.100.9, 203.0.113.7:51000\nX-Forwarded-Proto: https"
	frontDoor  = "X-Azure-SocketIP: 203.0.113.7"
	fly        = "Fly-Client-IP: 203.0.113.7\nX-Forwarded-For: 198.51.100.9, 203.0.113.7, 192.0.2.81\nX-Forwarded-Proto: https"
	cloudflare = "CF-Connecting-IP: 203.0.113.7\nX-Forwarded-For: 198.51.100.9,203.0.113.7\nX-Forwarded-Proto: https"
	replaced   = "X-Forwarded-For: 203.0.113.7\nX-Forwarded-Proto: https"
	node       = "X-Forwarded-For: 10.244.0.1"

	googlePeer  = "35.191.4.4:50000"
	googleNets  = "130.211.0.0/22, 35.191.0.0/16"
	privatePeer = "10.0.1.5:50000"
	gatewayPeer = "172.18.0.1:50000"
	directPeer  = "203.0.113.7:50000"
	realClient  = "203.0.113.7"
	forgedOther = "198.51.100.9"
)

var cloudRows = []cloudRow{
	{name: "Google", headers: google, peer: googlePeer, trusted: googleNets, config: forwarded.Config{TrustedHops: 2}, client: realClient, reason: forwarded.CountedHop},
	{name: "Google, by address", headers: google, peer: googlePeer, trusted: googleNets, client: "192.0.2.80", reason: forwarded.UntrustedHop},
	{name: "Google, one hop", headers: google, peer: googlePeer, trusted: googleNets, config: forwarded.Config{TrustedHops: 1}, client: "192.0.2.80", reason: forwarded.CountedHop},
	{name: "Google, three hops", headers: google, peer: googlePeer, trusted: googleNets, config: forwarded.Config{TrustedHops: 3}, client: forgedOther, reason: forwarded.CountedHop},
	{name: "Google, a health check", peer: googlePeer, trusted: googleNets, config: forwarded.Config{TrustedHops: 2}, reason: forwarded.NoHeader},
	{name: "Google, a network is missing", headers: google, peer: googlePeer, trusted: "130.211.0.0/22", config: forwarded.Config{TrustedHops: 2}, client: "35.191.4.4", reason: forwarded.UntrustedHeader},

	{name: "ALB", headers: alb, peer: privatePeer, trusted: "10.0.1.0/24", config: forwarded.Config{Proto: true}, client: realClient, reason: forwarded.UntrustedHop, secure: true},
	{name: "ALB with ports", headers: albPort, peer: privatePeer, trusted: "10.0.1.0/24", client: realClient, reason: forwarded.UntrustedHop},
	{name: "ALB behind CloudFront", headers: cloudFront, peer: privatePeer, trusted: "10.0.1.0/24", config: forwarded.Config{TrustedHops: 2}, client: realClient, reason: forwarded.CountedHop},
	{name: "ALB behind CloudFront, by address", headers: cloudFront, peer: privatePeer, trusted: "10.0.1.0/24", client: "192.0.2.44", reason: forwarded.UntrustedHop},
	{name: "ALB that preserves", headers: forgedOnly, peer: privatePeer, trusted: "10.0.1.0/24", client: forgedOther, reason: forwarded.UntrustedHop},

	{name: "NLB with the client's address", headers: forgedOnly, peer: directPeer, client: realClient, reason: forwarded.UntrustedHeader},

	{name: "Application Gateway", headers: azure, peer: privatePeer, trusted: "10.0.1.0/24", config: forwarded.Config{Proto: true}, client: realClient, reason: forwarded.UntrustedHop, secure: true},
	{name: "Front Door", headers: frontDoor, peer: "192.0.2.90:50000", trusted: "192.0.2.0/24", config: forwarded.Config{SingleHeader: "X-Azure-SocketIP"}, client: realClient, reason: forwarded.CountedHop},

	{name: "Fly, one header", headers: fly, peer: privatePeer, trusted: "10.0.1.0/24", config: forwarded.Config{SingleHeader: "Fly-Client-IP", Proto: true}, client: realClient, reason: forwarded.CountedHop, secure: true},
	{name: "Fly, two hops", headers: fly, peer: privatePeer, trusted: "10.0.1.0/24", config: forwarded.Config{TrustedHops: 2, Proto: true}, client: realClient, reason: forwarded.CountedHop, secure: true},
	{name: "Fly, by address", headers: fly, peer: privatePeer, trusted: "10.0.1.0/24", client: "192.0.2.81", reason: forwarded.UntrustedHop},

	{name: "Cloudflare", headers: cloudflare, peer: "192.0.2.90:50000", trusted: "192.0.2.0/24", config: forwarded.Config{SingleHeader: "CF-Connecting-IP", Proto: true}, client: realClient, reason: forwarded.CountedHop, secure: true},
	{name: "Cloudflare, by address", headers: cloudflare, peer: "192.0.2.90:50000", trusted: "192.0.2.0/24", config: forwarded.Config{Proto: true}, client: realClient, reason: forwarded.UntrustedHop, secure: true},
	{name: "past Cloudflare", headers: cloudflare, peer: "198.51.100.9:50000", trusted: "192.0.2.0/24", config: forwarded.Config{SingleHeader: "CF-Connecting-IP"}, client: forgedOther, reason: forwarded.UntrustedHeader},

	{name: "DigitalOcean, Hetzner, ingress-nginx", headers: replaced, peer: privatePeer, trusted: "10.0.1.5", config: forwarded.Config{Proto: true}, client: realClient, reason: forwarded.UntrustedHop, secure: true},

	{name: "Kubernetes, the nodes are listed", headers: node, peer: "10.244.1.7:50000", trusted: "10.244.0.0/16", reason: forwarded.AllTrusted},
	{name: "Kubernetes, the nodes are not listed", headers: node, peer: "10.244.1.7:50000", trusted: "10.244.1.0/24", client: "10.244.0.1", reason: forwarded.UntrustedHop},
	{name: "Kubernetes, a probe of a listed node", peer: "10.244.0.1:50000", trusted: "10.244.0.0/16", reason: forwarded.NoHeader},
	{name: "Kubernetes, a probe of another node", peer: "10.244.0.1:50000", trusted: "10.244.1.0/24", client: "10.244.0.1", reason: forwarded.UntrustedPeer},

	{name: "Docker, private", headers: forgedOnly, peer: gatewayPeer, trusted: "private", client: forgedOther, reason: forwarded.UntrustedHop},
	{name: "Docker, without the gateway", headers: forgedOnly, peer: gatewayPeer, trusted: "private, !172.18.0.1", client: "172.18.0.1", reason: forwarded.UntrustedHeader},
}

func TestCloudsPage(t *testing.T) {
	for _, row := range cloudRows {
		t.Run(row.name, func(t *testing.T) {
			set, err := trustnet.Parse(strings.Fields(strings.ReplaceAll(row.trusted, ",", " "))...)
			require.NoError(t, err)
			row.config.Trusted = set
			r, err := forwarded.New(row.config)
			require.NoError(t, err)
			h := http.Header{}
			for line := range strings.Lines(row.headers) {
				name, value, _ := strings.Cut(strings.TrimSpace(line), ": ")
				h[textproto.CanonicalMIMEHeaderKey(name)] = []string{value}
			}
			res := r.Resolve(h, row.peer)
			require.Equal(t, row.reason.String(), res.Reason.String())
			require.Equal(t, row.client != "", res.ClientKnown())
			if row.client != "" {
				require.Equal(t, row.client, res.Client.String())
			}
			secure, _ := res.Secure()
			require.Equal(t, row.secure, secure)
		})
	}
}

// Every header on the page is in a row, and every row is on the page.
func TestCloudsPageIsComplete(t *testing.T) {
	page, err := os.ReadFile("clouds.md")
	require.NoError(t, err)
	shown := map[string]bool{}
	for _, block := range regexp.MustCompile("(?s)```http\n(.*?)\n```").FindAllSubmatch(page, -1) {
		shown[string(block[1])] = true
	}
	require.NotEmpty(t, shown)
	require.NotContains(t, regexp.MustCompile("(?s)```http\n.*?\n```").ReplaceAllString(string(page), ""), "```", "a block that is not http")
	tested := map[string]bool{}
	for _, row := range cloudRows {
		if row.headers != "" {
			tested[row.headers] = true
		}
	}
	require.Equal(t, shown, tested)
}
