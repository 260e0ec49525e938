package main

import (
	"encoding/hex"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-94e48765/portico/examples/recipes/internal/recipetest"
	"github.com/seed-94e48765/portico/proxyproto"
)

func TestCloudHeaders(t *testing.T) {
	addr := recipetest.Start(t, run, "-trusted", "127.0.0.1", "-addr", "127.0.0.1:0")[0]
	for name, tt := range map[string]struct{ header, want string }{
		// From AWS's own compatibility test for the Network Load Balancer, with its CRC32C
		// and padding: Compatibility_AwsNetworkLoadBalancerTest.java in
		// https://github.com/aws/elastic-load-balancing-tools/tree/master/proprot
		"AWS": {
			header: "0d0a0d0a000d0a515549540a 21110054 ac1f0771 ac1f0a1f c8f2 0050 03 0004 e8d6892d" +
				" ea 0017 01 767063652d3038643262663135666163353030316339 04 0024" + strings.Repeat("00", 36),
			want: "client 172.31.7.113:51442, AWS VPC endpoint vpce-08d2bf15fac5001c9\n",
		},
		// Built from the table on Microsoft's page, which shows no capture, with the LINKID
		// that go-proxyproto's tests have.
		"Azure": {
			header: "0d0a0d0a000d0a515549540a 21110014 0a000005 0a010004 c350 01bb ee 0005 01 c1450021",
			want:   "client 10.0.0.5:50000, Azure LINKID 553665985\n",
		},
		// A capture with tcpdump from a public walk-through of Private Service Connect
		// with GKE, which lists the same pscConnectionId for the forwarding rule.
		"Google": {
			header: "0d0a0d0a000d0a515549540a 21110017 0a003c02 0a003c64 8138 0050 e0 0008 009b34d70a003c64",
			want:   "client 10.0.60.2:33080, Google pscConnectionId 43686719580552292\n",
		},
		"no private link": {
			header: "0d0a0d0a000d0a515549540a 2111000c 0a000005 0a010004 c350 01bb",
			want:   "client 10.0.0.5:50000\n",
		},
	} {
		t.Run(name, func(t *testing.T) {
			header, err := hex.DecodeString(strings.ReplaceAll(tt.header, " ", ""))
			require.NoError(t, err)
			conn, err := net.Dial("tcp", addr)
			require.NoError(t, err)
			defer conn.Close()
			require.NoError(t, conn.SetDeadline(time.Now().Add(time.Minute)))
			_, err = conn.Write(header)
			require.NoError(t, err)
			got, err := io.ReadAll(conn)
			require.NoError(t, err)
			require.Equal(t, tt.want, string(got))
		})
	}
}

func TestMalformedEntries(t *testing.T) {
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

func TestInvalidSettings(t *testing.T) {
	recipetest.RequireRefused(t, run, `-trusted "": use the addresses`)
}
