// What to copy: nameFlags, if your program has other names for the fields of verify.Config.

package main

import (
	"fmt"
	"net/url"
	"strings"

	"github.com/seed-94e48765/portico/discovery/verify"
)

// checkForeignHosts checks the hosts of -foreign-hosts by the rule of verify.Config.
func checkForeignHosts(hosts []string) error {
	for _, host := range hosts {
		if u, err := url.Parse("https://" + host); err != nil || u.Host != host || u.Hostname() == "" {
			return fmt.Errorf("doctor: -foreign-hosts has %q: use a host name or an address, such as id.example.com or [2001:db8::1]:8443, without a scheme and a path", host)
		}
	}
	return nil
}

// skipReasons replaces the fields of verify.Config in the reasons why an issuer was not
// requested. Through the proxy, the client has no dial function.
var skipReasons = strings.NewReplacer(
	"Config.Client has a transport or a dial function of its own, or a proxy,", "requests to the host use a proxy (HTTPS_PROXY),",
	"Config.ForeignHosts", "-foreign-hosts")

// nameFlags makes the reasons why issuers were not requested name the flags of doctor.
func nameFlags(report *verify.Report, at *node) {
	for i := range report.Checked {
		c := &report.Checked[i]
		switch {
		case !c.Skipped:
		case at != nil:
			c.Error = "issuers on other hosts are not requested at the node of -connect"
		default:
			c.Error = skipReasons.Replace(c.Error)
		}
	}
}
