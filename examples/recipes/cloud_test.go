package recipes

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"log"
	"net"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed-94e48765/portico/proxyproto"
)

// The types of entries in which load balancers report the private link that a client
// came through.
const (
	typeGoogle = 0xe0
	typeAWS    = 0xea
	typeAzure  = 0xee
)

// awsEndpoint returns the VPC endpoint ID of a client that came through AWS PrivateLink:
// a subtype, 1, and then ASCII.
// https://docs.aws.amazon.com/elasticloadbalancing/latest/network/edit-target-group-attributes.html#custom-tlv
func awsEndpoint(info *proxyproto.Info) (id string, ok bool) {
	v, _ := info.TLV(typeAWS)
	if len(v) < 2 || v[0] != 1 {
		return "", false
	}
	return string(v[1:]), true
}

// azureLink returns the LINKID of a client that came through an Azure private endpoint:
// a subtype, 1, and then four bytes, little-endian.
// https://learn.microsoft.com/en-us/azure/private-link/private-link-service-overview#getting-connection-information-using-tcp-proxy-v2
func azureLink(info *proxyproto.Info) (id uint32, ok bool) {
	v, _ := info.TLV(typeAzure)
	if len(v) != 5 || v[0] != 1 {
		return 0, false
	}
	return binary.LittleEndian.Uint32(v[1:]), true
}

// googleConnection returns the pscConnectionId of a client that came through Google
// Cloud's Private Service Connect: eight bytes, big-endian.
// https://cloud.google.com/vpc/docs/about-vpc-hosted-services#proxy-protocol
func googleConnection(info *proxyproto.Info) (id uint64, ok bool) {
	v, _ := info.TLV(typeGoogle)
	if len(v) != 8 {
		return 0, false
	}
	return binary.BigEndian.Uint64(v), true
}

// The headers of three clouds. Only the load balancer may send them: a client that
// could choose these identifiers would be another tenant.
var cloudHeaders = []struct{ name, header string }{
	{
		// From AWS's own compatibility test for the Network Load Balancer, with its CRC32C
		// and padding: Compatibility_AwsNetworkLoadBalancerTest.java in
		// https://github.com/aws/elastic-load-balancing-tools/tree/master/proprot
		name: "AWS",
		header: "0d0a0d0a000d0a515549540a 21110054 ac1f0771 ac1f0a1f c8f2 0050 03 0004 e8d6892d" +
			" ea 0017 01 767063652d3038643262663135666163353030316339 04 0024" + strings.Repeat("00", 36),
	},
	{
		// Built from the table on Microsoft's page, which shows no capture, with the LINKID
		// that go-proxyproto's tests have.
		name:   "Azure",
		header: "0d0a0d0a000d0a515549540a 21110014 0a000005 0a010004 c350 01bb ee 0005 01 c1450021",
	},
	{
		// A capture with tcpdump from a public walk-through of Private Service Connect
		// with GKE, which lists the same pscConnectionId for the forwarding rule.
		name:   "Google",
		header: "0d0a0d0a000d0a515549540a 21110017 0a003c02 0a003c64 8138 0050 e0 0008 009b34d70a003c64",
	},
}

// The identifiers that AWS, Azure and Google Cloud send for clients of a private link.
func Example_clouds() {
	l := listen()
	defer l.Close()

	for _, cloud := range cloudHeaders {
		// To try it.
		c, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			log.Fatal(err)
		}
		defer c.Close()
		header, err := hex.DecodeString(strings.ReplaceAll(cloud.header, " ", ""))
		if err != nil {
			log.Fatal(err)
		}
		c.Write(header)

		conn, err := l.Accept()
		if err != nil {
			log.Fatal(err)
		}
		defer conn.Close()
		info, _ := proxyproto.FromConn(conn)
		fmt.Println(cloud.name, "client", info.ClientAddr())
		if id, ok := awsEndpoint(info); ok {
			fmt.Println("VPC endpoint", id)
		}
		if id, ok := azureLink(info); ok {
			fmt.Println("LINKID", id)
		}
		if id, ok := googleConnection(info); ok {
			fmt.Println("pscConnectionId", id)
		}
	}
	// Output:
	// AWS client 172.31.7.113:51442
	// VPC endpoint vpce-08d2bf15fac5001c9
	// Azure client 10.0.0.5:50000
	// LINKID 553665985
	// Google client 10.0.60.2:33080
	// pscConnectionId 43686719580552292
}

func TestCloudEntriesOfAnotherShapeAreNotDecoded(t *testing.T) {
	for name, tt := range map[string]struct {
		tlv proxyproto.TLV
	}{
		"AWS, empty":               {tlv: proxyproto.TLV{Type: typeAWS}},
		"AWS, a subtype only":      {tlv: proxyproto.TLV{Type: typeAWS, Value: []byte{1}}},
		"AWS, another subtype":     {tlv: proxyproto.TLV{Type: typeAWS, Value: []byte("\x02vpce-1")}},
		"Azure, empty":             {tlv: proxyproto.TLV{Type: typeAzure}},
		"Azure, too short":         {tlv: proxyproto.TLV{Type: typeAzure, Value: []byte{1, 2, 3, 4}}},
		"Azure, another subtype":   {tlv: proxyproto.TLV{Type: typeAzure, Value: []byte{2, 0, 0, 0, 0}}},
		"Google, too short":        {tlv: proxyproto.TLV{Type: typeGoogle, Value: make([]byte, 7)}},
		"Google, too long":         {tlv: proxyproto.TLV{Type: typeGoogle, Value: make([]byte, 9)}},
		"an entry of another type": {tlv: proxyproto.TLV{Type: proxyproto.TypeNetNS, Value: []byte("\x01vpce-1")}},
	} {
		t.Run(name, func(t *testing.T) {
			info := &proxyproto.Info{TLVs: []proxyproto.TLV{tt.tlv}}
			_, aws := awsEndpoint(info)
			_, azure := azureLink(info)
			_, google := googleConnection(info)
			require.False(t, aws || azure || google)
		})
	}
	_, ok := awsEndpoint(nil)
	require.False(t, ok, "a connection of another listener")
}
