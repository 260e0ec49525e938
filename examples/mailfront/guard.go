// What to copy: the whole file. key is the one place that says whose address may
// be held against a client; everything else asks it. What to change: the limits.

package main

import (
	"errors"
	"log/slog"
	"net/netip"
	"sync"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"
	"golang.org/x/time/rate"

	"github.com/seed-94e48765/portico/trustnet"
)

// An action is what a client can do too often.
type action int

const (
	connecting        action = iota // to any listener
	loggingIn                       // with a right or a wrong password, in any protocol
	sending                         // MAIL FROM
	requesting                      // HTTP
	guessing                        // a wrong password: too often is a ban
	guessingElsewhere               // the same, by a page of another site: too often, and nothing but such pages is refused
	actions
)

// A rateLimit allows burst at once, and one more after each time every.
type rateLimit struct {
	burst int
	every time.Duration
}

type guardLimits struct {
	rates     [actions]rateLimit
	ban       time.Duration
	perClient int   // open connections
	total     int   // open connections, of clients that are not known, too
	clients   int   // that are remembered, and as many bans: bounds the memory
	memory    int64 // bytes, for all messages that are being received
	share     int64 // bytes, for those of one client
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

		guessingElsewhere: {9, time.Minute},
	},
	ban:       15 * time.Minute,
	perClient: 1000,
	total:     16384,
	clients:   1 << 14,
	memory:    256 << 20,
	share:     64 << 20,
}

var (
	errBanned        = errors.New("mailfront: too many wrong passwords: the client is banned for a time")
	errTooFast       = errors.New("mailfront: too often in a short time: try later")
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

	mu    sync.Mutex // of what follows
	rates *simplelru.LRU[netip.Prefix, *[actions]*rate.Limiter]
	bans  *simplelru.LRU[netip.Prefix, time.Time]
	open  map[netip.Prefix]int // connections of a client, which bounds its size
	share map[netip.Prefix]*share
	count guardCount
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
	NotBannable  uint64 // wrong logins of nobody whom an address stands for
	BannedNow    int
	ClientsKnown int
	MemoryInUse  int64
}

// newGuard never holds anything against an address in trusted, which may change
// while it is in use.
func newGuard(limits guardLimits, trusted trustnet.Source, log *slog.Logger) *guard {
	g := &guard{trusted: trusted, log: log, limits: limits, memory: newBudget(limits.memory), open: make(map[netip.Prefix]int), share: make(map[netip.Prefix]*share)}
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
func (g *guard) key(cl client) (who netip.Prefix, why string) {
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
func (g *guard) allow(cl client, a action) error {
	who, why := g.key(cl)
	if why != "" {
		return nil
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.allowKey(who, a)
}

// banned reports whether the client is, and counts nothing.
func (g *guard) banned(cl client) bool {
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

// limiter is that of a client for an action. g.mu is held.
func (g *guard) limiter(who netip.Prefix, a action) *rate.Limiter {
	of, ok := g.rates.Get(who)
	if !ok {
		of = new([actions]*rate.Limiter)
		g.rates.Add(who, of) // forgets who was away for longest
	}
	if of[a] == nil {
		limit := g.limits.rates[a]
		of[a] = rate.NewLimiter(rate.Every(limit.every), limit.burst)
	}
	return of[a]
}

// logIn is the way of a password in every protocol. check compares it, unless
// the client is banned or too fast. The error is one of errBanned, errTooFast and
// errWrongPassword; after the first two the connection should end.
func (g *guard) logIn(cl client, check func() bool) error {
	if err := g.allow(cl, loggingIn); err != nil {
		cl.log(g.log, "login_refused", slog.String("reason", err.Error()))
		return err
	}
	return g.compare(cl, check)
}

// compare is logIn without its limit for tries: for requests, which have one already.
func (g *guard) compare(cl client, check func() bool) error {
	if !check() {
		return g.failed(cl)
	}
	if g.banned(cl) { // by guesses that ran beside this one, of which it may be the last
		cl.log(g.log, "login_refused", slog.String("reason", errBanned.Error()))
		return errBanned
	}
	return nil
}

// failed counts a wrong password. It returns errBanned if that was one too many,
// and else errWrongPassword.
func (g *guard) failed(cl client) error {
	who, why := g.key(cl)
	g.mu.Lock()
	g.count.WrongLogins++
	banned := false
	switch {
	case why != "":
		g.count.NotBannable++
	case errors.Is(g.allowKey(who, guessing), errTooFast):
		banned = true
		g.count.Bans++
		g.bans.Add(who, time.Now().Add(g.limits.ban))
	}
	g.mu.Unlock()

	cl.log(g.log, "login_failed")
	switch {
	case why != "":
		cl.warn(g.log, "no_ban", slog.String("reason", why))
	case banned:
		cl.warn(g.log, "ban", slog.String("banned", who.String()), slog.Duration("for", g.limits.ban))
		return errBanned
	}
	return errWrongPassword
}

// guess is failed and its check for a password that a page of another site may have
// sent: never a ban, and no comparison where there were too many wrong ones.
func (g *guard) guess(cl client, check func() bool) error {
	who, why := g.key(cl)
	if why == "" {
		g.mu.Lock()
		banned, left := g.bannedKey(who), g.limiter(who, guessingElsewhere).Tokens()
		g.mu.Unlock()
		switch {
		case banned:
			return errBanned
		case left < 1:
			return errTooFast
		}
	}
	if check() {
		return nil
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.count.WrongLogins++
	if why == "" {
		g.limiter(who, guessingElsewhere).Allow()
	}
	return errWrongPassword
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
