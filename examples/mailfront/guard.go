// What to copy: the whole file. key is the one place that says whose address may
// be held against a client; everything else asks it. What to change: the limits.

package main

import (
	"errors"
	"log/slog"
	"net/netip"
	"runtime"
	"sync"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"
	"golang.org/x/time/rate"

	"github.com/seed-94e48765/portico/examples/mailfront/internal/client"
	"github.com/seed-94e48765/portico/trustnet"
)

// An action is what a client can do too often.
type action int

const (
	connecting        action = iota // to any listener
	loggingIn                       // with a right or a wrong password, in any protocol
	sending                         // MAIL FROM
	requesting                      // HTTP
	guessing                        // a wrong password
	guessingAdmin                   // the same, where the administrator's password has a limit of its own
	guessingElsewhere               // a wrong password that a page of another site may have sent
	actions
)

// A rateLimit allows burst at once, and one more after each time every.
type rateLimit struct {
	burst int
	every time.Duration
}

type guardLimits struct {
	rates     [actions]rateLimit // of one client
	unknown   [actions]rateLimit // of all clients that are not known together: the three for guessing
	ban       time.Duration
	perClient int           // open connections
	total     int           // open connections, of clients that are not known, too
	clients   int           // that are remembered, and as many bans: bounds the memory
	memory    int64         // bytes, for all messages that are being received
	share     int64         // bytes, for those of one client
	comparing int           // passwords of one client that are compared at once
	waiting   int           // passwords of one client that wait for that
	patience  time.Duration // of one that waits
	places    int           // of passwords that are compared at once: as many for known clients as for others
}

// defaultLimits are for a client that may be a whole office behind one address, or
// a campus: they stop a machine that runs wild, not people.
var defaultLimits = guardLimits{
	rates: [actions]rateLimit{
		connecting: {2000, 10 * time.Millisecond},
		loggingIn:  {200, 100 * time.Millisecond},
		sending:    {500, 100 * time.Millisecond},
		requesting: {5000, 2 * time.Millisecond},
		guessing:   {9, time.Minute}, // the tenth is the ban

		guessingAdmin:     {9, time.Minute},
		guessingElsewhere: {9, time.Minute},
	},
	unknown: [actions]rateLimit{
		// Higher: one client that guesses locks out all others that are not known.
		guessing:          {100, time.Second},
		guessingAdmin:     {20, 5 * time.Second},
		guessingElsewhere: {20, 5 * time.Second},
	},
	ban:       15 * time.Minute,
	perClient: 1000,
	total:     16384,
	clients:   1 << 14,
	memory:    256 << 20,
	share:     64 << 20,
	comparing: 4,
	waiting:   256,
	patience:  10 * time.Second,
	places:    max(1, runtime.GOMAXPROCS(0)/2), // a slow hash keeps a processor busy
}

var (
	errBanned        = errors.New("mailfront: too many wrong passwords: the client is banned for a time")
	errTooFast       = errors.New("mailfront: too often in a short time: try later")
	errBusy          = errors.New("mailfront: too many passwords are being compared: try later")
	errTooManyOpen   = errors.New("mailfront: too many open connections of this client")
	errAllOpen       = errors.New("mailfront: too many open connections")
	errWrongPassword = errors.New("mailfront: wrong name or password")
)

// A guard holds against a client what it did, on every listener alike.
type guard struct {
	trusted trustnet.Source
	log     *slog.Logger
	limits  guardLimits
	memory  *budget
	places  [secrets]struct{ known, others chan struct{} }

	mu     sync.Mutex // of what follows
	rates  *simplelru.LRU[netip.Prefix, *[actions]*rate.Limiter]
	bans   *simplelru.LRU[netip.Prefix, time.Time]
	shared [actions]*rate.Limiter // of limits.unknown
	turns  map[bucket]*turns
	open   map[netip.Prefix]int // connections of a client, which bounds its size
	share  map[netip.Prefix]*share
	count  guardCount
}

// A guardCount is for the debug page.
type guardCount struct {
	Connections int // open

	Refused      uint64 // connections, closed at accept: the four that follow
	WhileBanned  uint64
	TooFast      uint64
	TooManyOpen  uint64
	Full         uint64
	WrongLogins  uint64
	Bans         uint64
	NotBannable  uint64 // wrong logins that never are a ban
	NotCompared  uint64 // logins that were refused before the password was compared
	BannedNow    int
	ClientsKnown int
	MemoryInUse  int64
}

// newGuard never holds anything against an address in trusted, which may change
// while it is in use.
func newGuard(limits guardLimits, trusted trustnet.Source, log *slog.Logger) *guard {
	g := &guard{
		trusted: trusted, log: log, limits: limits, memory: newBudget(limits.memory), open: make(map[netip.Prefix]int),
		share: make(map[netip.Prefix]*share), turns: make(map[bucket]*turns),
	}
	for i := range g.places {
		g.places[i].known, g.places[i].others = make(chan struct{}, limits.places), make(chan struct{}, limits.places)
	}
	var err1, err2 error
	g.rates, err1 = simplelru.NewLRU[netip.Prefix, *[actions]*rate.Limiter](limits.clients, nil)
	g.bans, err2 = simplelru.NewLRU[netip.Prefix, time.Time](limits.clients, nil)
	if err := errors.Join(err1, err2); err != nil {
		panic("mailfront: guardLimits.clients must be positive: " + err.Error())
	}
	return g
}

// nat64 is the well-known prefix of RFC 6052 section 2.1.
var nat64 = netip.MustParsePrefix("64:ff9b::/96")

// key returns whom the client's address stands for: one host in IPv4, and the
// /64 of one subscriber in IPv6 (RFC 6177), who has all addresses in it. why is
// not empty if it stands for nobody, or for everybody behind a proxy. Then no
// limit, ban or verdict goes by it.
func (g *guard) key(cl client.Client) (who netip.Prefix, why string) {
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

// allow returns errBanned, errTooFast or nil, and counts the action.
func (g *guard) allow(cl client.Client, a action) error {
	who, why := g.key(cl)
	if why != "" {
		return nil
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.allowKey(who, a)
}

// banned reports whether the client is, and counts nothing.
func (g *guard) banned(cl client.Client) bool {
	who, why := g.key(cl)
	if why != "" {
		return false
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.bannedKey(who)
}

// bannedKey is banned. g.mu is held.
func (g *guard) bannedKey(who netip.Prefix) bool {
	until, ok := g.bans.Get(who)
	if ok && !time.Now().Before(until) {
		g.bans.Remove(who)
		ok = false
	}
	return ok
}

// allowKey is allow. g.mu is held.
func (g *guard) allowKey(who netip.Prefix, a action) error {
	if g.bannedKey(who) {
		return errBanned
	}
	if !g.limiter(who, a).Allow() {
		return errTooFast
	}
	return nil
}

// limiter is that of a client for an action, or of all clients that are not known if
// who is the zero value. g.mu is held.
func (g *guard) limiter(who netip.Prefix, a action) *rate.Limiter {
	if !who.IsValid() {
		if g.shared[a] == nil {
			g.shared[a] = newLimiter(g.limits.unknown[a])
		}
		return g.shared[a]
	}
	of, ok := g.rates.Get(who)
	if !ok {
		of = new([actions]*rate.Limiter)
		g.rates.Add(who, of) // forgets who was away for longest
	}
	if of[a] == nil {
		of[a] = newLimiter(g.limits.rates[a])
	}
	return of[a]
}

func newLimiter(l rateLimit) *rate.Limiter {
	return rate.NewLimiter(rate.Every(l.every), l.burst)
}

// counted returns what was counted so far.
func (g *guard) counted() guardCount {
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
