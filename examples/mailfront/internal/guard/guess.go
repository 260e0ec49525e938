package guard

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"sync"

	"github.com/seed-94e48765/portico/examples/mailfront/internal/client"
)

// A Secret is a password that clients can guess.
type Secret int

// The secrets.
const (
	MailSecret Secret = iota // the password of the account
	AdminSecret
	TokenSecret // an access token instead of the password of the account
	secrets
)

// An Attempt is a password or token that a client sends.
type Attempt struct {
	Secret  Secret
	Account string // the name that was sent with the password; may be ""
	// OtherSite is set if a page of another site may have sent the password through the browser of
	// its visitor. Such a password never causes a ban. It has a limit of its own.
	OtherSite bool
}

// A bucket identifies a token bucket: that of an account, that of a client, or, if both are
// empty, that of all clients that are not known.
type bucket struct {
	account string // result of accountKey
	who     netip.Prefix
	action  Action
	bans    bool // exceeding the limit causes a ban; otherwise passwords are refused for a time
}

// isZero reports whether nothing is charged. Connecting has no limit for clients that are not known.
func (b bucket) isZero() bool { return b == bucket{} }

// isThisMachine reports whether who has the address from which programs on this machine connect by
// default, 127.0.0.1 or ::1. Behind a proxy on this machine that is missing from the list of trusted
// proxies, it is the address of every client.
func isThisMachine(who netip.Prefix) bool {
	return who.Contains(netip.AddrFrom4([4]byte{127, 0, 0, 1})) || who.Contains(netip.IPv6Loopback())
}

// isBannable reports whether a ban or a limit of all nodes may apply to who, which is a result of
// [Guard.Key].
func isBannable(who netip.Prefix) bool { return who.IsValid() && !isThisMachine(who) }

// bucketOf returns the bucket of an attempt. If the bucket cannot cause a ban, why is the reason.
func (g *Guard) bucketOf(cl client.Client, a Attempt) (b bucket, why string) {
	b.who, why = g.Key(cl)
	switch {
	case why == "" && isThisMachine(b.who):
		why = "the address is this machine's: if a proxy connects from it, add it to " + cl.TrustedSetting
	case why == whyProxy && cl.IsUntrustedPeer():
		why += ", which this listener does not trust: if it connects for clients, add it to " + cl.TrustedSetting
	}
	switch {
	case a.OtherSite:
		b.action = GuessingElsewhere
		why = "a page of another site may have sent it"
	case why != "" && a.Secret == AdminSecret:
		b.action = GuessingAdmin // guesses at mail passwords must not lock the administrator out
	default:
		b.action = Guessing
	}
	b.bans = why == ""
	return b, why
}

// A Check reports whether a password or token is right. It returns an error if it cannot determine
// this, for example because a database is not available. Then nothing is charged, and LogIn, Try and
// Compare return that error.
type Check func() (right bool, err error)

// LogIn is like [Guard.Try] for a password or token of a mail protocol. account is the name that the
// client sent, or "". The client may try again on the same connection after ErrWrongPassword and after
// an error of check. After any other error the connection should end.
func (g *Guard) LogIn(cl client.Client, account string, check Check) error {
	return g.Try(cl, Attempt{Account: account}, check)
}

// Try is like [Guard.Compare] within the client's limit for logging in. A password that a page
// of another site has sent does not count in that limit.
func (g *Guard) Try(cl client.Client, a Attempt, check Check) error {
	if !a.OtherSite {
		if err := g.Allow(cl, LoggingIn); err != nil {
			return g.refuseLogin(cl, err)
		}
	}
	return g.Compare(cl, a, check)
}

// Compare calls check unless the client is banned or has sent too many wrong passwords. Before
// the call it takes a turn, which ends with the charge. Otherwise concurrent guesses could all
// pass the limit before the first of them is charged.
//
// The error is ErrWrongPassword or the error of check, or it wraps ErrBanned, ErrTooFast or
// ErrBusy. In the last three cases the password may be right: check was not called, or the
// client was banned in the meantime. [RetryAfter] returns how long they last.
func (g *Guard) Compare(cl client.Client, a Attempt, check Check) error {
	b, why := g.bucketOf(cl, a)
	account := g.accountBucket(b.who, a)
	ctx, cancel := context.WithTimeout(context.Background(), g.limits.Patience)
	defer cancel()
	if err := g.begin(ctx, b); err != nil {
		return g.refuseLogin(cl, err)
	}
	if !g.isFree(account) && g.hasSignedInShared(account.account, b.who) {
		account = bucket{} // the client does not wait for the guesses of others either
	}
	if err := g.begin(ctx, account); err != nil {
		g.end(b)
		return g.refuseLogin(cl, err)
	}
	end := sync.OnceFunc(func() { g.end(account); g.end(b) })
	isWrong := false
	defer func() { // also if check panics
		if !isWrong {
			end()
		}
	}()
	right, err := g.inPlace(ctx, g.place(b, a.Secret), check)
	switch {
	case errors.Is(err, ErrBusy):
		return g.refuseLogin(cl, err)
	case err != nil:
		return err
	case !right:
		isWrong = true
		return g.wrong(cl, a, why, b, account, end)
	}
	if err := g.banned(cl); err != nil { // because of concurrent guesses
		return g.refuseLogin(cl, err)
	}
	g.remember(a.account(), b.who)
	return nil
}

// wrong logs and charges a wrong password, and calls end after the charge. why is the reason if the
// password cannot cause a ban.
func (g *Guard) wrong(cl client.Client, a Attempt, why string, b, account bucket, end func()) error {
	var origin []slog.Attr
	if a.OtherSite {
		origin = append(origin, slog.String("origin", "another site"))
	}
	cl.Log(g.log, "login_failed", origin...)
	g.mu.Lock()
	g.count.WrongLogins++
	if !b.bans {
		g.count.NotBannable++
	}
	tooMany := !g.limiter(b).allow() && b.bans
	if !account.isZero() {
		g.limiter(account).allow()
	}
	g.mu.Unlock()
	charged := func() {
		if tooMany {
			g.ban(cl, b.who)
		}
		end()
	}
	err := g.chargeShared(cl, charged, b, account)
	if tooMany {
		g.ban(cl, b.who) // in case the answer of the store is late
		err = refused(ErrBanned, g.limits.Ban)
	}
	if !b.bans && !a.OtherSite {
		cl.Warn(g.log, "no_ban", slog.String("reason", why))
	}
	if err == nil {
		err = ErrWrongPassword
	}
	return err
}

// place returns the semaphore that bounds how many passwords are compared at once. Clients that
// an address does not identify have a separate one, so that they cannot delay the others. place
// returns nil for a token: the check of a token waits for another server and uses no processor,
// so a slow check must not delay the tokens of other clients.
func (g *Guard) place(b bucket, s Secret) chan struct{} {
	switch {
	case s == TokenSecret:
		return nil
	case !isBannable(b.who):
		return g.places[s].others
	}
	return g.places[s].known
}

// inPlace calls check when place has room, and at once if place is nil.
func (g *Guard) inPlace(ctx context.Context, place chan struct{}, check Check) (right bool, err error) {
	if place == nil {
		return check()
	}
	select {
	case place <- struct{}{}:
	case <-ctx.Done():
		return false, refused(ErrBusy, busyFor)
	}
	defer func() { <-place }() // also if check panics
	return check()
}

// refuseLogin logs a password that was not compared, and returns err.
func (g *Guard) refuseLogin(cl client.Client, err error) error {
	g.mu.Lock()
	g.count.NotCompared++
	g.mu.Unlock()
	cl.Log(g.log, "login_refused", slog.String("reason", err.Error()))
	return err
}
