package trustnet

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync"
)

// lookupBoth looks up the A and the AAAA records of host separately, because a look-up of
// both together returns the records of one family without an error if the other fails.
func lookupBoth(ctx context.Context, host string) ([]netip.Addr, error) {
	var a4, a6 []netip.Addr
	var err4, err6 error
	var wg sync.WaitGroup
	wg.Go(func() { a4, err4 = lookupFamily(ctx, "ip4", host) })
	wg.Go(func() { a6, err6 = lookupFamily(ctx, "ip6", host) })
	wg.Wait()
	switch {
	case isNotFound(err4): // matters only if the other family has no address either
		return a6, err6
	case isNotFound(err6):
		return a4, err4
	}
	return append(a4, a6...), errors.Join(err4, err6)
}

func lookupFamily(ctx context.Context, network, host string) ([]netip.Addr, error) {
	addrs, err := net.DefaultResolver.LookupNetIP(ctx, network, host)
	var other *net.AddrError
	if errors.As(err, &other) { // package net found addresses of the other family only
		return nil, &net.DNSError{Err: other.Err, Name: host, IsNotFound: true}
	}
	return addrs, err
}

// isNotFound reports whether err means that a name does not exist or has no address.
func isNotFound(err error) bool {
	var dns *net.DNSError
	return errors.As(err, &dns) && dns.IsNotFound
}

// filter returns the addresses of an answer that may be trusted, and an error that
// names the others.
func (w *watcher) filter(answer []netip.Addr) (accepted []netip.Addr, refused error) {
	var texts []string
	n := 0
	for _, a := range answer {
		a = a.Unmap().WithZone("")
		reason := w.refuse(a)
		if reason == "" {
			accepted = append(accepted, a)
			continue
		}
		n++
		if n <= mostListed {
			texts = append(texts, fmt.Sprintf("%v (%s)", a, reason))
		}
	}
	if n > 0 {
		refused = fmt.Errorf("refused %d of %d addresses: %s", n, len(answer), list(texts, n))
	}
	return accepted, refused
}

// refuse returns the reason for which a is not trusted, or "".
func (w *watcher) refuse(a netip.Addr) (reason string) {
	switch {
	case !a.IsValid():
		return "not an address"
	case a.IsUnspecified():
		return "unspecified"
	case a.IsMulticast():
		return "multicast"
	case a.IsLoopback() && !w.literal.Contains(a):
		return "loopback: list the address itself if the peer is on this host"
	case w.Within != nil && !w.Within.Contains(a):
		return "outside the networks that are allowed for names"
	}
	return ""
}

// mostListed limits the addresses in a log line. An answer can have thousands.
const mostListed = 5

// list joins the first of n texts.
func list(texts []string, n int) string {
	s := strings.Join(texts, ", ")
	if n > len(texts) {
		s += fmt.Sprintf(" and %d more", n-len(texts))
	}
	return s
}
