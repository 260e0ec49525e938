package guard

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"slices"
	"time"

	"github.com/seed-94e48765/portico/examples/mailfront/internal/client"
)

// A Secret is a password that clients can guess.
type Secret int

// The secrets.
const (
	MailSecret Secret = iota // of the account
	AdminSecret
	secrets
)

// An Attempt is one password that a client sends.
type Attempt struct {
	Secret  Secret
	Account string // the name that was sent with the password; "" without one
	// OtherSite is set if a page of another site may have sent the password through the
	// browser of its visitor. Such a password never causes a ban, and has a limit of its own.
	OtherSite bool
}

// A bucket is what a wrong password is charged to. Without a client it belongs to all
// clients that are not known.
type bucket struct {
	who    netip.Prefix
	action Action
	bans   bool // the password that is one too many is a ban; else no more are compared for a time
}

// isThisMachine reports whether programs on this machine connect from an address in who,
// unless they ask for another one: 127.0.0.1 and ::1. Behind a proxy on this machine that
// is not on the list of trusted proxies, it is the address of every client.
func isThisMachine(who netip.Prefix) bool {
	return who.Contains(netip.AddrFrom4([4]byte{127, 0, 0, 1})) || who.Contains(netip.IPv6Loopback())
}

// bucketOf returns the bucket of an attempt, and if that does not ban, why.
func (g *Guard) bucketOf(cl client.Client, a Attempt) (b bucket, why string) {
	b.who, why = g.Key(cl)
	if why == "" && isThisMachine(b.who) {
		why = "the address is this machine's: if a proxy connects from it, add it to " + client.TrustedProxies
	}
	switch {
	case a.OtherSite:
		b.action = GuessingElsewhere
		why = "a page of another site may have sent it"
	case why != "" && a.Secret == AdminSecret:
		b.action = GuessingAdmin // guesses at the mail do not close the administrator's page
	default:
		b.action = Guessing
	}
	b.bans = why == ""
	return b, why
}

// A Check reports whether a password or token is right. It returns an error if it cannot
// find out, such as when a database is away. Then nothing is charged, and LogIn, Try and
// Compare return that error.
type Check func() (right bool, err error)

// LogIn is [Guard.Try] for a password or token of a mail protocol. Account is the name that
// the client sent; "" without one. The client may try again on the same connection after
// ErrWrongPassword and after an error of check. Otherwise the connection should end.
func (g *Guard) LogIn(cl client.Client, account string, check Check) error {
	return g.Try(cl, Attempt{Account: account}, check)
}

// Try is [Guard.Compare] within the client's limit for logging in. A password that a page of
// another site has sent does not count in that limit.
func (g *Guard) Try(cl client.Client, a Attempt, check Check) error {
	if !a.OtherSite {
		if err := g.Allow(cl, LoggingIn); err != nil {
			return g.refuseLogin(cl, err)
		}
	}
	return g.Compare(cl, a, check)
}

// Compare calls check unless the client is banned or has sent too many wrong passwords. It
// takes a place before and gives it back with the charge, so that guesses at the same time
// cannot all pass the limit before the first of them is charged.
//
// The error is ErrWrongPassword, that of check, or wraps ErrBanned, ErrTooFast or ErrBusy.
// For these three the password may be right: check was not called, or the client was banned
// in the meantime. [RetryAfter] returns how long they last.
func (g *Guard) Compare(cl client.Client, a Attempt, check Check) error {
	b, why := g.bucketOf(cl, a)
	ctx, cancel := context.WithTimeout(context.Background(), g.limits.Patience)
	defer cancel()
	if err := g.begin(ctx, b); err != nil {
		return g.refuseLogin(cl, err)
	}
	right, banned, err := g.check(ctx, g.place(b, a.Secret), b, check)
	switch {
	case errors.Is(err, ErrBusy):
		return g.refuseLogin(cl, err)
	case err != nil:
		return err
	case right:
		if err := g.banned(cl); err != nil { // by guesses at the same time
			return g.refuseLogin(cl, err)
		}
		return nil
	case a.OtherSite:
		cl.Log(g.log, "login_failed", slog.String("origin", "another site"))
		return ErrWrongPassword
	}
	cl.Log(g.log, "login_failed")
	switch {
	case !b.bans:
		cl.Warn(g.log, "no_ban", slog.String("reason", why))
	case banned:
		cl.Warn(g.log, "ban", slog.String("banned", b.who.String()), slog.Duration("for", g.limits.Ban))
		return refused(ErrBanned, g.limits.Ban)
	}
	return ErrWrongPassword
}

// place bounds how many passwords are compared at once. Clients that an address does not
// identify have places of their own, so that they cannot hold up the others.
func (g *Guard) place(b bucket, s Secret) chan struct{} {
	if !b.who.IsValid() || isThisMachine(b.who) {
		return g.places[s].others
	}
	return g.places[s].known
}

// check calls f when there is a place, and ends what begin began.
func (g *Guard) check(ctx context.Context, place chan struct{}, b bucket, f Check) (right, banned bool, err error) {
	wrong := false
	defer func() { banned = g.end(b, wrong) }() // also if f panics
	select {
	case place <- struct{}{}:
	case <-ctx.Done():
		return false, false, refused(ErrBusy, busyFor)
	}
	defer func() { <-place }()
	right, err = f()
	wrong = !right && err == nil
	return right, false, err
}

// refuseLogin logs a password that was not compared, and returns err.
func (g *Guard) refuseLogin(cl client.Client, err error) error {
	g.mu.Lock()
	g.count.NotCompared++
	g.mu.Unlock()
	cl.Log(g.log, "login_refused", slog.String("reason", err.Error()))
	return err
}

// turns are the attempts of a bucket that are compared or wait.
type turns struct {
	running int
	waiting []chan struct{} // closed when one should look again
}

// begin waits until one more password of the bucket may be compared. Those that are
// compared already count as if they were wrong. Every begin without an error needs an end.
func (g *Guard) begin(ctx context.Context, b bucket) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	for {
		t := g.turns[b]
		if t == nil {
			t = new(turns)
		}
		switch {
		case g.bannedKey(b.who) != nil:
			g.settle(b, t)
			return g.bannedKey(b.who)
		case ctx.Err() != nil:
			g.settle(b, t) // the place that this one was woken for is another's
			return refused(ErrBusy, busyFor)
		case g.free(b, t) > 0:
			t.running++
			g.turns[b] = t
			return nil
		case t.running == 0:
			g.settle(b, t)
			return tooFast(g.limiter(b.who, b.action))
		case len(t.waiting) >= g.limits.Waiting:
			return refused(ErrBusy, busyFor)
		}
		again := make(chan struct{})
		t.waiting = append(t.waiting, again)
		g.mu.Unlock()
		select {
		case <-again:
		case <-ctx.Done():
		}
		g.mu.Lock()
		t.leave(again)
	}
}

// free returns how many more passwords of the bucket may be compared now. If the bucket
// bans, the password that is one too many is compared, too. g.mu is held.
func (g *Guard) free(b bucket, t *turns) int {
	left := int(g.limiter(b.who, b.action).Tokens())
	if b.bans {
		left++
	}
	return min(left, g.limits.Comparing) - t.running
}

// end ends what begin began. It charges a wrong password, and reports whether that was a
// ban.
func (g *Guard) end(b bucket, wrong bool) (banned bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if wrong {
		g.count.WrongLogins++
		if !b.bans {
			g.count.NotBannable++
		}
		if !g.limiter(b.who, b.action).Allow() && b.bans && g.bannedKey(b.who) == nil {
			banned = true
			g.count.Bans++
			g.bans.Add(b.who, time.Now().Add(g.limits.Ban))
		}
	}
	t := g.turns[b]
	t.running--
	g.settle(b, t)
	return banned
}

// settle lets as many attempts look again as may be compared now, and all if they have to
// be refused. It forgets the turns of a bucket without attempts. g.mu is held.
func (g *Guard) settle(b bucket, t *turns) {
	n := g.free(b, t)
	if t.running == 0 && n < 1 || g.bannedKey(b.who) != nil {
		n = len(t.waiting)
	}
	for range min(n, len(t.waiting)) {
		close(t.waiting[0])
		t.waiting = t.waiting[1:]
	}
	if t.running == 0 && len(t.waiting) == 0 && g.turns[b] == t {
		delete(g.turns, b)
	}
}

// leave removes one that waits.
func (t *turns) leave(waiting chan struct{}) {
	t.waiting = slices.DeleteFunc(t.waiting, func(c chan struct{}) bool { return c == waiting })
}
