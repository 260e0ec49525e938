// Copy readTrusted: it reads a list of trusted proxies for all listeners and one for each
// listener, from a setting or a file, with DNS names. It rejects a list that trusts everyone.
// Change the names of the settings.

package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"

	"github.com/seed-94e48765/portico/examples/internal/settings"
	"github.com/seed-94e48765/portico/examples/mailfront/internal/client"
	"github.com/seed-94e48765/portico/trustnet"
)

const trustedSetting = "TRUSTED_PROXIES"

func trustedSettings() []settings.Setting {
	list := []settings.Setting{
		{Name: trustedSetting, Usage: "networks of the proxies, separated by commas: 10.0.0.0/8, 192.0.2.1, loopback, private, unix, dns:proxy (every address of the host proxy, looked up every 10 seconds), !10.0.0.7 (an exclusion); a trusted proxy states the client of a connection in a PROXY header, which it then must send, or in forwarding headers (default: no peer is trusted)"},
		{Name: trustedSetting + "_FILE", Usage: "file with the same items, one a line, # comments; read again on SIGHUP"},
		{Name: trustedSetting + "_WITHIN", Usage: "networks outside which an address of a dns: item is not trusted, such as 10.0.0.0/8 (default: every address is)"},
	}
	for _, name := range listenerNames {
		list = append(list, settings.Setting{
			Name:  trustedSetting + "_" + strings.ToUpper(name),
			Usage: "networks of the proxies of the " + name + " listener, instead of " + trustedSetting + "; - trusts no peer",
		})
	}
	return list
}

// A trustedList is a list of trusted proxies for one or more listeners. Its Value is the list or
// the name of a file.
type trustedList struct {
	settings.Value
	isFile bool
	items  []string // as trustnet.Names parses them
	live   *trustnet.Live
	stop   context.CancelFunc // stops the look-ups; nil without look-ups
}

// trustedProxies has all lists. The keys of its maps are names of listeners.
type trustedProxies struct {
	lists   []*trustedList
	of      map[string]*trustedList
	within  *trustnet.Set // bounds the addresses of names; nil allows all
	uniting sync.Mutex
	all     trustnet.Live                                                // the union of all lists
	lookup  func(ctx context.Context, host string) ([]netip.Addr, error) // nil selects the resolver of the system
}

// readTrusted reads the lists of trusted proxies.
func (cfg *config) readTrusted(values *settings.Values) error {
	t := &trustedProxies{of: make(map[string]*trustedList)}
	cfg.trusted = t
	list, file, within := values.Get(trustedSetting), values.Get(trustedSetting+"_FILE"), values.Get(trustedSetting+"_WITHIN")
	if list.Text != "" && file.Text != "" {
		return list.Errorf("%s is set, too: use one of them", file.From)
	}
	all := &trustedList{Value: list}
	if file.Text != "" {
		all = &trustedList{Value: file, isFile: true}
	}
	for _, name := range listenerNames {
		t.of[name] = all
		s := values.Get(trustedSetting + "_" + strings.ToUpper(name))
		switch {
		case s.Text == "":
			continue
		case !cfg.isOpen(name):
			return s.Errorf("the %s listener is off: unset it, or set MAILFRONT_LISTEN_%s", name, strings.ToUpper(name))
		}
		t.of[name] = &trustedList{Value: s}
		t.lists = append(t.lists, t.of[name])
	}
	t.lists = append(t.lists, all)
	mayHaveNames := false
	for _, l := range t.lists {
		l.live = new(trustnet.Live)
		items, set, err := l.read()
		if err != nil {
			return err
		}
		l.items = items
		l.live.Store(set)
		mayHaveNames = mayHaveNames || l.isFile || hasNames(items)
	}
	t.unite()
	if within.Text != "" {
		for _, item := range within.List() {
			if hasNames([]string{item.Text}) {
				return within.Errorf("%q: use networks, such as 10.0.0.0/8: names cannot limit names", item.Text)
			}
		}
		var err error
		if t.within, err = trustnet.Parse(within.Text); err != nil {
			return within.Errorf("%w", err)
		}
		if !mayHaveNames {
			return within.Errorf("no list of trusted proxies has a dns: item, and this setting is for their addresses only: unset it")
		}
	}
	return nil
}

// listener returns the name of a listener with the setting of its list.
func (cfg *config) listener(name string) client.Listener {
	return client.Listener{Name: name, TrustedSetting: cfg.trusted.of[name].From}
}

// unite stores the union of all lists.
func (t *trustedProxies) unite() {
	t.uniting.Lock()
	defer t.uniting.Unlock()
	var all *trustnet.Set
	for _, l := range t.lists {
		all = all.Union(l.live.Trusted())
	}
	t.all.Store(all)
}

// hasNames reports whether an item is a DNS name.
func hasNames(items []string) bool {
	return slices.ContainsFunc(items, func(item string) bool { return strings.HasPrefix(item, "dns:") })
}

// read returns the items of the list, and the set of the items that are not names. Every error
// names the setting.
func (l *trustedList) read() (items []string, set *trustnet.Set, err error) {
	switch {
	case l.isFile:
		items, err = readItems(l.Text)
	case l.Text != off:
		for _, item := range l.List() {
			items = append(items, item.Text)
		}
	}
	if err == nil {
		set, err = checkItems(items)
	}
	if err == nil && set.IsEmpty() && !hasNames(items) && (len(items) > 0 || l.isFile) {
		err = errors.New("the list trusts no peer: add the networks of the proxies, or unset the setting")
	}
	if err != nil {
		return nil, nil, l.Errorf("%w", err)
	}
	return items, set, nil
}

// readItems returns the items of a file.
func readItems(path string) (items []string, err error) {
	// Reading a pipe could block for ever and prevent the program from ending.
	if info, err := os.Stat(path); err == nil && info.Mode()&(os.ModeNamedPipe|os.ModeSocket|os.ModeDir) != 0 {
		return nil, errors.New("it is a directory, a pipe or a socket: use a regular file")
	}
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w: create the file, or correct its path", err)
	}
	if err != nil {
		return nil, err
	}
	n := 0
	for line := range strings.Lines(strings.TrimPrefix(string(text), "\ufeff")) {
		n++
		item, _, _ := strings.Cut(line, "#")
		if item = strings.Trim(item, " \t\r\n"); item == "" {
			continue
		}
		var wrong *trustnet.ParseError
		if _, err := checkItems([]string{item}); errors.As(err, &wrong) {
			return nil, fmt.Errorf("line %d, %q: %w", n, item, wrong.Err)
		}
		items = append(items, item)
	}
	return items, nil
}

// checkItems returns the set of the items that are not names.
func checkItems(items []string) (*trustnet.Set, error) {
	// Names checks the syntax. Its context is canceled, so that it looks up nothing later.
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	var live trustnet.Live
	names := trustnet.Names{Items: items, Lookup: func(context.Context, string) ([]netip.Addr, error) { return nil, nil }}
	if err := names.Watch(ended, &live); err != nil {
		return nil, err
	}
	set := live.Trusted()
	// Package proxyproto would trust no peer then and count the connections. Report the mistake at
	// the start instead.
	if set.TrustsAll() {
		return nil, errors.New("it covers all of IPv4 or all of IPv6, or half of one, so that clients could claim any address: list the proxies only")
	}
	return set, nil
}
