// Copy readListeners: it reads a list of addresses for each listener, accepts "-" for a listener
// that is off, and rejects duplicate addresses. Change the names of the listeners.

package main

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"path/filepath"
	"strings"

	"github.com/seed-94e48765/portico/examples/internal/settings"
)

// listenerNames are the names of the listeners. Clients of a listener whose name ends in s begin
// with TLS.
var listenerNames = []string{
	"http", "https", "smtp", "smtps", "submission", "submissions", "imap", "imaps", "pop3", "pop3s",
}

// off is the value of LISTEN_… for a listener that is not opened.
const off = "-"

func listenSettings() (list []settings.Setting) {
	for _, name := range listenerNames {
		usage := "addresses of the " + name + " listener, separated by commas: host:port, [::1]:port, or unix:/path of a socket; - turns the listener off"
		if name == "http" {
			usage += "; a password or token without TLS is refused, except from a program on this machine that opens http://127.0.0.1, http://[::1] or http://localhost and sends no forwarding header, and from clients of a trusted proxy whose TLS is not known"
		}
		list = append(list, settings.Setting{Name: "LISTEN_" + strings.ToUpper(name), Default: "127.0.0.1:0", Usage: usage})
	}
	return list
}

// An address is an address to listen on. Its Value is the item in the setting.
type address struct {
	settings.Value
	network, host string // the arguments of net.Listen
}

// readListeners reads the addresses of all listeners.
func (cfg *config) readListeners(values *settings.Values) (err error) {
	cfg.listen = make(map[string][]address)
	seen := make(map[string]string) // address to the setting that has it
	for _, name := range listenerNames {
		s := values.Get("LISTEN_" + strings.ToUpper(name))
		if cfg.listen[name], err = parseAddresses(s, name, seen); err != nil {
			return err
		}
	}
	cfg.health, err = parseAddresses(values.Get("LISTEN_HEALTH"), healthName, seen)
	if err == nil && !cfg.isOpen(listenerNames...) {
		s := values.Get("LISTEN_HTTP")
		err = s.Errorf("every listener is off: give at least one of them an address, such as 127.0.0.1:0")
	}
	return err
}

// isOpen reports whether one of the named listeners has an address.
func (cfg *config) isOpen(names ...string) bool {
	for _, name := range names {
		if len(cfg.listen[name]) > 0 {
			return true
		}
	}
	return false
}

// parseAddresses returns the addresses in a setting LISTEN_…. It rejects addresses in seen, and
// adds the others to it.
func parseAddresses(s settings.Value, name string, seen map[string]string) (list []address, err error) {
	if s.Text == off {
		return nil, nil
	}
	for _, item := range s.List() {
		a, err := parseAddress(item, name)
		where := seen[a.key()]
		switch {
		case err != nil:
		case where == s.From:
			err = errors.New("the address is listed twice: remove one of the two")
		case where != "":
			err = fmt.Errorf("%s has the same address: use another port, or - for a listener that is not needed", where)
		}
		if err != nil {
			if item.Text != s.Text {
				err = fmt.Errorf("%q: %w", item.Text, err)
			}
			return nil, s.Errorf("%w", err)
		}
		if key := a.key(); key != "" {
			seen[key] = s.From
		}
		list = append(list, a)
	}
	separateFamilies(list)
	return list, nil
}

func parseAddress(item settings.Value, name string) (address, error) {
	if path, ok := strings.CutPrefix(item.Text, "unix:"); ok {
		a := address{Value: item, network: "unix", host: path}
		if !filepath.IsAbs(path) {
			return a, fmt.Errorf("the path of the socket is not absolute: use unix:/run/mailfront/%s.sock", name)
		}
		return a, nil
	}
	a := address{Value: item, network: "tcp", host: item.Text}
	if item.Text == off {
		return a, fmt.Errorf("%s turns the whole listener off: use it alone, or remove it", off)
	}
	_, port, err := net.SplitHostPort(item.Text)
	if err == nil && port == "" {
		err = errors.New("missing port")
	}
	if err == nil {
		_, err = net.LookupPort("tcp", port)
	}
	if err != nil {
		return a, fmt.Errorf("use host:port, such as 127.0.0.1:2525 or [::1]:0, or unix:/path: %w", err)
	}
	return a, nil
}

// key returns a text that is the same for all spellings of an address. It is "" if the kernel
// chooses the port.
func (a address) key() string {
	if a.network == "unix" {
		return "unix:" + filepath.Clean(a.host)
	}
	host, port, _ := net.SplitHostPort(a.host)
	number, err := net.LookupPort("tcp", port)
	if err != nil || number == 0 {
		return ""
	}
	if ip, err := netip.ParseAddr(host); err == nil {
		host = ip.Unmap().String()
	}
	return net.JoinHostPort(strings.ToLower(host), fmt.Sprint(number))
}

// separateFamilies allows 0.0.0.0:25,[::]:25 to be two sockets. Otherwise each socket would accept
// connections of both families, and opening the other one would fail.
func separateFamilies(list []address) {
	families := make(map[uint16][2]bool) // by port; index 0 is IPv4, 1 is IPv6
	for _, a := range list {
		if ap, err := netip.ParseAddrPort(a.host); err == nil && ap.Port() != 0 {
			f := families[ap.Port()]
			families[ap.Port()] = [2]bool{f[0] || ap.Addr().Is4(), f[1] || ap.Addr().Is6()}
		}
	}
	for i, a := range list {
		ap, err := netip.ParseAddrPort(a.host)
		if err != nil || families[ap.Port()] != [2]bool{true, true} {
			continue
		}
		switch ap.Addr() {
		case netip.IPv4Unspecified():
			list[i].network = "tcp4"
		case netip.IPv6Unspecified():
			list[i].network = "tcp6"
		}
	}
}
