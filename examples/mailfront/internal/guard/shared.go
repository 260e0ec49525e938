package guard

import (
	"context"
	"encoding/json"
	"errors"
	"net/netip"
	"slices"
	"time"

	"github.com/seed-94e48765/portico/examples/mailfront/internal/client"
	"github.com/seed-94e48765/portico/examples/mailfront/internal/store"
)

// callTimeout bounds a call to the store. Clients wait for at most Limits.StoreWait.
const callTimeout = time.Second

// Share makes the guard share its bans and limits with the guards of other nodes. Call it before any
// other method, and run [Guard.Mirror].
//
// An HTTP request and a wrong password wait for the store for at most Limits.StoreWait. Without
// an answer the guard decides by its own limits, which are always charged, and by the bans that
// it has mirrored. A mail connection waits only if the client has sent wrong passwords or used
// half of its limit on this node. Connections of other clients are charged shortly after, many
// clients in one call. A right password and a message are charged with the next connection or
// wrong password.
func (g *Guard) Share(s store.Store) { g.store = s }

// isShared reports whether the guard has a store that is available.
func (g *Guard) isShared() bool { return g.store != nil && !g.away.Load() }

// sharedBuckets has the prefixes of the buckets in the store. The limits of clients that are not
// known, and of this machine, are separate on each node.
var sharedBuckets = map[Action]string{
	Connecting: "connect/", Requesting: "request/", LoggingIn: "login/", LoggingInElsewhere: "login-elsewhere/", Sending: "send/",
	Guessing: "guess/", GuessingElsewhere: "elsewhere/", GuessingAccount: "",
}

// deferred are the actions that are charged with the next call to the store for the client. They need
// no calls of their own.
var deferred = []Action{Connecting, LoggingIn, LoggingInElsewhere, Sending}

// sharedCharge returns the charge of a bucket in the store. It returns false if the bucket belongs to
// this node only.
func (g *Guard) sharedCharge(b bucket) (c store.Charge, ok bool) {
	name, ok := sharedBuckets[b.action]
	if b.account == "" && !isBannable(b.who) {
		ok = false
	}
	key := b.account
	if key == "" {
		key = b.who.String()
	}
	l := g.limits.Rates[b.action]
	return store.Charge{Bucket: name + key, Limit: store.Limit{Burst: l.Burst, Every: l.Every}, Cost: 1}, ok
}

// inTime calls f and returns its result if it arrives within Limits.StoreWait. Otherwise it returns
// nil, and the guard decides by the facts of this node. f continues, and its effects are kept.
func (g *Guard) inTime(f func() error) error {
	began, answer := time.Now(), make(chan error, 1)
	go func() { answer <- f() }()
	timer := time.NewTimer(g.limits.StoreWait)
	defer timer.Stop()
	select {
	case err := <-answer:
		g.late.reset()
		return err
	case <-timer.C:
		if g.late.add(began) {
			g.leaveStore("it does not answer within " + g.limits.StoreWait.String())
		}
		return nil
	}
}

// notice handles the error of a call to the store.
func (g *Guard) notice(err error) {
	switch {
	case err == nil:
	case errors.Is(err, store.ErrUnavailable):
		g.leaveStore(err.Error())
	case errors.Is(err, store.ErrSealed):
		g.reportSealed(sealedOther, err)
	default:
		g.log.Error("the store has an entry that cannot be used", "event", "store_error", "reason", err.Error())
	}
}

// leaveStore makes the guard decide without the store until Mirror finds it available again.
func (g *Guard) leaveStore(reason string) {
	if g.away.CompareAndSwap(false, true) {
		g.log.Error("the store does not answer: this node applies its own limits and the bans in its memory", "event", "limits_alone", "reason", reason)
	}
}

// admitShared checks an action that this node allows against the limits and bans in the store.
func (g *Guard) admitShared(who netip.Prefix, a Action) error {
	charge, ok := g.sharedCharge(bucket{who: who, action: a})
	switch {
	case !ok || !g.isShared() || a != Connecting && slices.Contains(deferred, a):
		return nil
	case a == Connecting:
		if !g.isSuspect(who) {
			g.chargeLater(who)
			return nil
		}
		g.takeBack(who)
	}
	return g.inTime(func() error {
		answer, err := g.admission(who, charge)
		switch {
		case err != nil:
			return nil
		case answer.Ban != nil:
			return g.addRemoteBan(who, answer.Ban)
		case !answer.OK():
			g.spend(bucket{who: who, action: a}, answer.Wait[0])
			return refused(ErrTooFast, answer.Wait[0])
		}
		return nil
	})
}

// takeBack removes a connection that is charged now from the deferred ones.
func (g *Guard) takeBack(who netip.Prefix) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if l := g.limiter(bucket{who: who, action: Connecting}); l.owed > 0 {
		l.owed--
	}
}

// admission makes one call to the store. It adds the deferred charges of the client, which do
// not affect the result. If the answer is lost, the charges are not repeated, because they may
// have been made.
func (g *Guard) admission(who netip.Prefix, charges ...store.Charge) (store.Admission, error) {
	ctx, cancel := context.WithTimeout(context.Background(), callTimeout)
	defer cancel()
	name := "-" // a name that is never banned
	var owed []bucket
	n := len(charges)
	if isBannable(who) {
		name = who.String()
		owed, charges = g.takeOwed(who, charges)
	}
	answer, err := g.store.Admit(ctx, name, charges...)
	if errors.Is(err, store.ErrSealed) { // the client is banned
		g.reportSealed(sealedBan, err)
		return store.Admission{Ban: []byte{}}, nil
	}
	g.notice(err)
	if err != nil || answer.Ban != nil || len(answer.Wait) < n {
		return answer, err
	}
	for i, wait := range answer.Wait[n:] {
		if wait > 0 {
			g.spend(owed[i], wait+charges[n+i].Every)
		}
	}
	answer.Wait = answer.Wait[:n]
	return answer, nil
}

// takeOwed appends charges for the deferred actions of a client.
func (g *Guard) takeOwed(who netip.Prefix, charges []store.Charge) ([]bucket, []store.Charge) {
	g.mu.Lock()
	defer g.mu.Unlock()
	var owed []bucket
	of, _ := g.clients.Peek(who)
	for _, a := range deferred {
		if of == nil || of[a] == nil || of[a].owed == 0 {
			continue
		}
		b := bucket{who: who, action: a}
		c, _ := g.sharedCharge(b)
		c.Cost, c.Owed = of[a].owed, true
		of[a].owed = 0
		owed, charges = append(owed, b), append(charges, c)
	}
	return owed, charges
}

// addRemoteBan adds a ban of another node, and returns the refusal.
func (g *Guard) addRemoteBan(who netip.Prefix, value []byte) error {
	var b Ban
	if err := json.Unmarshal(value, &b); err != nil || b.Address != who {
		return refused(ErrBanned, g.limits.Ban)
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.addBan(b, true)
	return refused(ErrBanned, time.Until(b.Until))
}

// spend records that a bucket in the store is empty for a time. Until then the guard does not
// query the store for it.
func (g *Guard) spend(b bucket, wait time.Duration) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.limiter(b).spent = time.Now().Add(wait)
}

// chargeShared charges a wrong password to the buckets in the store, and then calls charged,
// even if the answer is late. It bans the client if the password exceeded the limit, and returns
// an error if the client is banned. The charge may exceed the bucket: each node compares one
// password of a client and of an account at a time, while other nodes compare others.
func (g *Guard) chargeShared(cl client.Client, charged func(), buckets ...bucket) error {
	var charges []store.Charge
	var of []bucket
	for _, b := range buckets {
		if c, ok := g.sharedCharge(b); ok {
			c.Owed = true
			charges, of = append(charges, c), append(of, b)
		}
	}
	who := buckets[0].who
	if len(charges) == 0 || !g.isShared() {
		charged()
		return nil
	}
	return g.inTime(func() error {
		defer charged()
		answer, err := g.admission(who, charges...)
		switch {
		case err != nil:
			return nil
		case answer.Ban != nil && isBannable(who):
			return g.addRemoteBan(who, answer.Ban)
		}
		for i, wait := range answer.Wait {
			if wait == 0 {
				continue
			}
			g.spend(of[i], wait+charges[i].Every)
			if of[i].bans {
				g.ban(cl, who)
				err = refused(ErrBanned, g.limits.Ban)
			}
		}
		return err
	})
}
