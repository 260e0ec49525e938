package main

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/seed-94e48765/portico/examples/mailfront/internal/store/storetest"
	"github.com/seed-94e48765/portico/proxyproto"
)

// BenchmarkSMTPSession runs sessions with MAIL and RCPT on a node with a shared store and on
// one with a store in memory, in turns, and prints the ratio of their rates.
//
//	go test -run xxx -bench SMTPSession ./examples/mailfront
func BenchmarkSMTPSession(b *testing.B) {
	server := storetest.Start(b)
	nodes := []struct {
		name    string
		address string
		took    time.Duration
	}{
		{name: "memory"},
		{name: "shared"},
	}
	for i := range nodes {
		env := map[string]string{"MAILFRONT_TRUSTED_PROXIES": proxyIP, "MAILFRONT_DEMO_PASSWORD": testPassword}
		if nodes[i].name == "shared" {
			env["MAILFRONT_STORE"], env["MAILFRONT_SECRET"] = server.URL(), storetest.Secret
		}
		cfg, err := parseConfig(nil, lookup(env), io.Discard)
		if err != nil {
			b.Fatal(err)
		}
		cfg.limits.StoreWait = time.Second // every session calls the store, even on a slow machine
		f, err := start(cfg, newLogger(io.Discard, cfg.logLevel))
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { f.shutdown(time.Second) })
		nodes[i].address = (&started{frontend: f}).address("smtp")
	}
	const batch, parallel = 200, 8
	b.ResetTimer()
	for b.Loop() {
		for i := range nodes {
			began := time.Now()
			if err := smtpSessions(nodes[i].address, batch, parallel); err != nil {
				b.Fatal(err)
			}
			nodes[i].took += time.Since(began)
		}
	}
	b.ReportMetric(0, "ns/op")
	for _, n := range nodes {
		b.ReportMetric(float64(b.N*batch)/n.took.Seconds(), n.name+"-sessions/s")
	}
	b.ReportMetric(nodes[0].took.Seconds()/nodes[1].took.Seconds(), "shared/memory")
}

var benchClients atomic.Uint32

// smtpSessions runs n sessions, each of a different client behind the proxy.
func smtpSessions(address string, n, parallel int) error {
	var all sync.WaitGroup
	var failed atomic.Pointer[error]
	for range parallel {
		all.Go(func() {
			for range n / parallel {
				if err := oneSMTPSession(address); err != nil {
					failed.Store(&err)
					return
				}
			}
		})
	}
	all.Wait()
	if err := failed.Load(); err != nil {
		return *err
	}
	return nil
}

func oneSMTPSession(address string) error {
	c, err := net.Dial("tcp", address)
	if err != nil {
		return err
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(testTimeout))
	id := benchClients.Add(1)
	from := &net.TCPAddr{IP: net.IPv4(100, byte(64+id>>16), byte(id>>8), byte(id)), Port: 4567}
	if err := proxyproto.WriteHeader(c, proxyproto.Header{Source: from, Destination: &net.TCPAddr{IP: net.IPv4(192, 0, 2, 25), Port: 25}}); err != nil {
		return err
	}
	r := bufio.NewReader(c)
	for _, command := range []string{"", "EHLO client.example", "MAIL FROM:<a@elsewhere.test>", "RCPT TO:<demo@example.test>", "QUIT"} {
		if command != "" {
			fmt.Fprintf(c, "%s\r\n", command)
		}
		for {
			line, err := r.ReadString('\n')
			if err != nil {
				return fmt.Errorf("after %q: %w", command, err)
			}
			if !strings.HasPrefix(line, "2") {
				return fmt.Errorf("after %q: %q", command, line)
			}
			if len(line) > 3 && line[3] == ' ' {
				break
			}
		}
	}
	return nil
}
