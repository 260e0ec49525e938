package msgauth

import (
	"context"
	"errors"
	"net"
	"strings"
)

// A fakeDNS has TXT records by name, and the records of hosts under "MX name" and "A name". The
// servers of a name with the value "slow" do not answer.
type fakeDNS map[string][]string

func (d fakeDNS) LookupTXT(ctx context.Context, name string) ([]string, error) {
	if !strings.HasSuffix(name, ".") {
		return nil, errors.New("asked for a name that is not rooted: " + name)
	}
	texts, ok := d[strings.TrimSuffix(name, ".")]
	switch {
	case !ok:
		return nil, &net.DNSError{Err: "no such host", Name: name, IsNotFound: true}
	case texts[0] == "slow":
		<-ctx.Done()
		return nil, &net.DNSError{Err: ctx.Err().Error(), Name: name, IsTimeout: true}
	}
	return texts, nil
}

func (d fakeDNS) LookupMX(ctx context.Context, name string) ([]*net.MX, error) {
	hosts, err := d.LookupTXT(ctx, "MX "+name)
	var found []*net.MX
	for _, host := range hosts {
		found = append(found, &net.MX{Host: host})
	}
	return found, err
}

func (d fakeDNS) LookupIPAddr(ctx context.Context, host string) ([]net.IPAddr, error) {
	addresses, err := d.LookupTXT(ctx, "A "+host)
	var found []net.IPAddr
	for _, a := range addresses {
		found = append(found, net.IPAddr{IP: net.ParseIP(a)})
	}
	return found, err
}

func (d fakeDNS) LookupAddr(context.Context, string) ([]string, error) {
	return nil, &net.DNSError{Err: "no such host", IsNotFound: true}
}
