// Privatelink decodes the identifiers that the load balancers of AWS, Azure and Google
// Cloud send in the PROXY header for clients of a private link, with proxyproto.Info.TLV.
// The answer to each client is the client's address and identifier.
//
//	go run ./examples/recipes/privatelink -trusted 10.0.1.0/24
//
// Only the load balancer may send these entries. A client that can choose them can use the
// identifier of another tenant.
package main

import (
	"context"
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/seed-94e48765/portico/proxyproto"
	"github.com/seed-94e48765/portico/trustnet"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:], func(addrs ...net.Addr) { slog.Info("serving", "addresses", addrs) }); err != nil {
		slog.Error(err.Error())
		os.Exit(1)
	}
}

// run serves until ctx ends.
func run(ctx context.Context, args []string, started func(...net.Addr)) error {
	flags := flag.NewFlagSet("privatelink", flag.ExitOnError)
	addr := flags.String("addr", "127.0.0.1:10025", "`address` for the load balancer's connections")
	trusted := flags.String("trusted", "", "comma-separated `networks` of the load balancer")
	flags.Parse(args)
	proxies, err := trustnet.Parse(strings.Split(*trusted, ",")...)
	if err != nil {
		return fmt.Errorf("privatelink: -trusted %q: use the addresses that the proxies connect from, such as 127.0.0.1: %w", *trusted, err)
	}
	inner, err := net.Listen("tcp", *addr)
	if err != nil {
		return err
	}
	l, err := proxyproto.New(inner, proxyproto.Config{
		Trusted: proxies,
		OnReject: func(r proxyproto.Rejection) {
			slog.Warn("connection refused: compare -trusted with the load balancer's settings", "rejection", r)
		},
	})
	if err != nil {
		return err
	}
	started(l.Addr())
	defer context.AfterFunc(ctx, func() { // no accepted connection is lost
		grace, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		l.Shutdown(grace)
	})()
	var open sync.WaitGroup
	defer open.Wait()
	for {
		conn, err := l.Accept() // every error is final
		if ctx.Err() != nil && errors.Is(err, net.ErrClosed) {
			return nil
		}
		if err != nil {
			return err
		}
		open.Go(func() {
			defer conn.Close()
			conn.SetDeadline(time.Now().Add(10 * time.Second))
			info, _ := proxyproto.FromConn(conn)
			fmt.Fprintln(conn, describe(info))
		})
	}
}

// describe returns the client's address and the identifier of its private link.
func describe(info *proxyproto.Info) string {
	text := fmt.Sprintf("client %v", info.ClientAddr())
	if id, ok := awsEndpoint(info); ok {
		text += fmt.Sprintf(", AWS VPC endpoint %s", id)
	}
	if id, ok := azureLink(info); ok {
		text += fmt.Sprintf(", Azure LINKID %d", id)
	}
	if id, ok := googleConnection(info); ok {
		text += fmt.Sprintf(", Google pscConnectionId %d", id)
	}
	return text
}

// The types of the entries.
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
