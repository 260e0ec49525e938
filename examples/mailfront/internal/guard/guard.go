// Package guard limits what a client can do: the rate of its connections, logins, messages
// and requests, its wrong passwords, its open connections and the memory for its messages.
// The tenth wrong password is a ban, on every listener.
//
// [Guard.Key] decides which clients an address identifies. A limit for one client or a ban
// never applies to the address of a trusted proxy or of a client that is not known, because
// it would apply to everyone behind the proxy.
//
// Copy with it: client.
//
// What to change: [DefaultLimits], and the two secrets in guess.go.
package guard

import (
	"errors"
	"log/slog"
	"net/netip"
	"sync"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"
	"golang.org/x/time/rate"

	"github.com/seed-94e48765/portico/examples/mailfront/internal/client"
	"github.com/seed-94e48765/portico/trustnet"
)

// A Guard counts what clients do on all listeners. Its methods may be called concurrently.
type Guard struct {
	trusted trustnet.Source
	log     *slog.Logger
	limits  Limits
	memory  *budget
	places  [secrets]struct{ known, others chan struct{} }

	mu     sync.Mutex // of what follows
	rates  *simplelru.LRU[netip.Prefix, *[Actions]*rate.Limiter]
	bans   *simplelru.LRU[netip.Prefix, time.Time]
	shared [Actions]*rate.Limiter // of limits.unknown
	turns  map[bucket]*turns
	open   map[netip.Prefix]int // connections of a client, which bounds its size
	share  map[netip.Prefix]*share
	count  Counts
}

// Counts has numbers for a page of statistics.
type Counts struct {
	Connections int // that are open now

	Refused      uint64 // connections that were closed at accept; the sum of the next four
	WhileBanned  uint64
	TooFast      uint64
	TooManyOpen  uint64
	Full         uint64
	WrongLogins  uint64
	Bans         uint64
	NotBannable  uint64 // wrong logins that cannot cause a ban
	NotCompared  uint64 // logins that were refused before the password was compared
	BannedNow    int
	ClientsKnown int
	MemoryInUse  int64
}

// New returns a Guard that logs to log. Addresses in trusted, which may change while it is
// in use, do not identify a client. New panics if limits.Clients is not positive.
func New(limits Limits, trusted trustnet.Source, log *slog.Logger) *Guard {
	g := &Guard{
		trusted: trusted, log: log, limits: limits, memory: newBudget(limits.Memory), open: make(map[netip.Prefix]int),
		share: make(map[netip.Prefix]*share), turns: make(map[bucket]*turns),
	}
	for i := range g.places {
		g.places[i].known, g.places[i].others = make(chan struct{}, limits.Places), make(chan struct{}, limits.Places)
	}
	var err1, err2 error
	g.rates, err1 = simplelru.NewLRU[netip.Prefix, *[Actions]*rate.Limiter](limits.Clients, nil)
	g.bans, err2 = simplelru.NewLRU[netip.Prefix, time.Time](limits.Clients, nil)
	if err := errors.Join(err1, err2); err != nil {
		panic("guard: Limits.Clients must be positive: " + err.Error())
	}
	return g
}

// nat64 is the well-known prefix of RFC 6052 section 2.1.
var nat64 = netip.MustParsePrefix("64:ff9b::/96")

// Key returns the prefix that identifies the client: its address in IPv4, and in IPv6 the
// /64 of its subscriber, who has all addresses in it (RFC 6177). If why is not empty, the
// address does not identify a client, and no limit, ban or verdict may depend on it.
func (g *Guard) Key(cl client.Client) (who netip.Prefix, why string) {
	ip := cl.IP.Unmap().WithZone("")
	switch {
	case !cl.Known:
		return who, "the client is not known"
	case !ip.IsValid():
		return who, "the client has no IP address"
	case g.trusted != nil && g.trusted.Trusted().Contains(ip):
		return who, "the address is a trusted proxy's"
	}
	if nat64.Contains(ip) { // the gateway has one /96 for all of IPv4
		b := ip.As16()
		ip = netip.AddrFrom4([4]byte(b[12:]))
	}
	bits := 32
	if ip.Is6() {
		bits = 64
	}
	who, _ = ip.Prefix(bits) // no error: ip has as many bits
	return who, ""
}

// Allow counts the action. The error wraps ErrBanned or ErrTooFast. Allow always returns nil
// for a client that its address does not identify.
func (g *Guard) Allow(cl client.Client, a Action) error {
	who, why := g.Key(cl)
	if why != "" {
		return nil
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.allowKey(who, a)
}

// banned returns an error if the client is banned. It counts nothing.
func (g *Guard) banned(cl client.Client) error {
	who, why := g.Key(cl)
	if why != "" {
		return nil
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.bannedKey(who)
}

// bannedKey is banned. g.mu is held.
func (g *Guard) bannedKey(who netip.Prefix) error {
	until, ok := g.bans.Get(who)
	if !ok {
		return nil
	}
	left := time.Until(until)
	if left <= 0 {
		g.bans.Remove(who)
		return nil
	}
	return refused(ErrBanned, left)
}

// allowKey is allow. g.mu is held.
func (g *Guard) allowKey(who netip.Prefix, a Action) error {
	if err := g.bannedKey(who); err != nil {
		return err
	}
	if l := g.limiter(who, a); !l.Allow() {
		return tooFast(l)
	}
	return nil
}

// limiter is that of a client for an action, or of all clients that are not known if
// who is the zero value. g.mu is held.
func (g *Guard) limiter(who netip.Prefix, a Action) *rate.Limiter {
	if !who.IsValid() {
		if g.shared[a] == nil {
			g.shared[a] = newLimiter(g.limits.Unknown[a])
		}
		return g.shared[a]
	}
	of, ok := g.rates.Get(who)
	if !ok {
		of = new([Actions]*rate.Limiter)
		g.rates.Add(who, of) // forgets who was away for longest
	}
	if of[a] == nil {
		of[a] = newLimiter(g.limits.Rates[a])
	}
	return of[a]
}

func newLimiter(l Rate) *rate.Limiter {
	return rate.NewLimiter(rate.Every(l.Every), l.Burst)
}

// Counts returns the numbers so far.
func (g *Guard) Counts() Counts {
	g.mu.Lock()
	defer g.mu.Unlock()
	c := g.count
	for _, until := range g.bans.Values() {
		if time.Now().Before(until) {
			c.BannedNow++
		}
	}
	c.ClientsKnown, c.MemoryInUse = g.rates.Len(), g.memory.inUse()
	return c
}
