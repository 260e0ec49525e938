// Package guard limits what a client can do: the rate of its connections, logins, messages
// and requests, its wrong passwords, its open connections and the memory for its messages.
// The tenth wrong password is a ban, on every listener and, after [Guard.Share], on every
// node.
//
// [Guard.Key] decides which clients an address identifies. A limit for one client or a ban
// never applies to the address of a trusted proxy or of a client that is not known, because
// it would apply to everyone behind the proxy.
//
// Wrong passwords also have a limit for each account and for the administrator, which slows
// guesses from many addresses. It does not apply to addresses that have signed in to the account
// before.
//
// Copy with it: client, store.
//
// Change [DefaultLimits], and the secrets in guess.go.
package guard

import (
	"log/slog"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"
	"golang.org/x/time/rate"

	"github.com/seed-94e48765/portico/examples/mailfront/internal/client"
	"github.com/seed-94e48765/portico/examples/mailfront/internal/store"
	"github.com/seed-94e48765/portico/trustnet"
)

// A Guard counts what clients do on all listeners. Its methods may be called concurrently.
type Guard struct {
	trusted trustnet.Source
	log     *slog.Logger
	limited *client.LimitedLog
	limits  Limits
	memory  *budget
	places  [secrets]struct{ known, others chan struct{} }

	store store.Store // nil if there is one node
	away  atomic.Bool // the store does not answer
	late  lateAnswers
	wake  chan struct{} // has a value when unpaid is not empty

	mu       sync.Mutex // guards the fields below
	clients  *simplelru.LRU[netip.Prefix, *[Actions]*limit]
	accounts *simplelru.LRU[string, *limit]
	known    *simplelru.LRU[string, *simplelru.LRU[netip.Prefix, struct{}]] // clients that have signed in to an account
	unknown  [Actions]*limit                                                // the limits of limits.Unknown
	bans     *simplelru.LRU[netip.Prefix, *ban]
	unpaid   map[netip.Prefix]struct{} // clients with deferred charges; see chargeLater
	changes  uint64                    // number of changes of the bans
	epoch    string                    // epoch of the bans in the store
	turns    map[bucket]*turns
	open     map[netip.Prefix]int // connections by client; Limits.Total bounds its size
	share    map[netip.Prefix]*share
	count    Counts
}

// A limit is a token bucket of this node, with the known facts about the shared bucket of all nodes.
type limit struct {
	*rate.Limiter
	spent time.Time // the bucket in the store is empty until this time
	owed  int       // deferred charges, which the store does not have yet
}

// left returns how many actions the limit allows now.
func (l *limit) left() int {
	if time.Now().Before(l.spent) {
		return 0
	}
	return int(l.Tokens())
}

// allow counts one action.
func (l *limit) allow() bool { return !time.Now().Before(l.spent) && l.Allow() }

// Counts has the numbers for a page of statistics.
type Counts struct {
	Connections int // open connections

	Refused      uint64 // connections that were closed at accept; the sum of the next four fields
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

// New returns a Guard that logs to log. Addresses in trusted, which may change later, do not
// identify a client. New panics if limits.Clients is not positive.
func New(limits Limits, trusted trustnet.Source, log *slog.Logger) *Guard {
	g := &Guard{
		trusted: trusted, log: log, limited: client.NewLimitedLog(log), limits: limits, memory: newBudget(limits.Memory), open: make(map[netip.Prefix]int),
		share: make(map[netip.Prefix]*share), turns: make(map[bucket]*turns),
		unpaid: make(map[netip.Prefix]struct{}), wake: make(chan struct{}, 1),
	}
	for i := range g.places {
		g.places[i].known, g.places[i].others = make(chan struct{}, limits.Places), make(chan struct{}, limits.Places)
	}
	g.clients = newLRU[netip.Prefix, *[Actions]*limit](limits.Clients)
	g.accounts = newLRU[string, *limit](limits.Clients)
	g.known = newLRU[string, *simplelru.LRU[netip.Prefix, struct{}]](limits.Clients)
	g.bans = newLRU[netip.Prefix, *ban](limits.Clients)
	return g
}

func newLRU[K comparable, V any](size int) *simplelru.LRU[K, V] {
	lru, err := simplelru.NewLRU[K, V](size, nil)
	if err != nil {
		panic("guard: Limits.Clients must be positive: " + err.Error())
	}
	return lru
}

// nat64 is the well-known prefix of RFC 6052 section 2.1.
var nat64 = netip.MustParsePrefix("64:ff9b::/96")

// whyProxy is the reason of [Guard.Key] for the address of a trusted proxy of any listener.
const whyProxy = "the address is a trusted proxy's"

// Key returns the prefix that identifies the client. It is the address in IPv4, and in IPv6 the
// /64 of the subscriber, who controls all addresses in it (RFC 6177). If why is not empty, the
// address does not identify a client, and no limit, ban or verdict may depend on it.
func (g *Guard) Key(cl client.Client) (who netip.Prefix, why string) {
	ip := cl.IP.Unmap().WithZone("")
	switch {
	case !cl.Known:
		return who, "the client is not known"
	case !ip.IsValid():
		return who, "the client has no IP address"
	case g.trusted != nil && g.trusted.Trusted().Contains(ip):
		return who, whyProxy
	}
	if nat64.Contains(ip) { // the gateway uses one /96 for all of IPv4
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

// Allow counts an action of the client. The error wraps ErrBanned or ErrTooFast. Allow always returns
// nil for a client that its address does not identify.
func (g *Guard) Allow(cl client.Client, a Action) error {
	who, why := g.Key(cl)
	if why != "" {
		return nil
	}
	g.mu.Lock()
	err := g.allowKey(who, a)
	g.mu.Unlock()
	if err == nil {
		err = g.admitShared(who, a)
	}
	return err
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

// allowKey is like allow. g.mu is held.
func (g *Guard) allowKey(who netip.Prefix, a Action) error {
	if err := g.bannedKey(who); err != nil {
		return err
	}
	l := g.limiter(bucket{who: who, action: a})
	if !l.allow() {
		return tooFast(l)
	}
	l.owed = min(l.owed+1, l.Burst())
	return nil
}

// limiter returns the limit of a bucket. It evicts the clients and accounts that were inactive for the
// longest time. g.mu is held.
func (g *Guard) limiter(b bucket) *limit {
	switch {
	case b.account != "":
		l, ok := g.accounts.Get(b.account)
		if !ok {
			l = newLimit(g.limits.Rates[b.action])
			g.keepUsedAccounts()
			g.accounts.Add(b.account, l)
		}
		return l
	case !b.who.IsValid():
		if g.unknown[b.action] == nil {
			g.unknown[b.action] = newLimit(g.limits.Unknown[b.action])
		}
		return g.unknown[b.action]
	}
	of, ok := g.clients.Get(b.who)
	if !ok {
		of = new([Actions]*limit)
		g.clients.Add(b.who, of)
	}
	if of[b.action] == nil {
		of[b.action] = newLimit(g.limits.Rates[b.action])
	}
	return of[b.action]
}

func newLimit(r Rate) *limit {
	return &limit{Limiter: rate.NewLimiter(rate.Every(r.Every), r.Burst)}
}

// Counts returns the current numbers.
func (g *Guard) Counts() Counts {
	g.mu.Lock()
	defer g.mu.Unlock()
	c := g.count
	for _, b := range g.bans.Values() {
		if time.Now().Before(b.Until) {
			c.BannedNow++
		}
	}
	c.ClientsKnown, c.MemoryInUse = g.clients.Len(), g.memory.inUse()
	return c
}
