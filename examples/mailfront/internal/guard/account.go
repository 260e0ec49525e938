package guard

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"

	"github.com/seed-94e48765/portico/examples/mailfront/internal/client"
	"github.com/seed-94e48765/portico/examples/mailfront/internal/store"
)

const (
	// knownAddresses is the maximum number of addresses in memory for an account.
	knownAddresses = 32
	// knownFor is how long the store keeps them after the last new address.
	knownFor = 90 * 24 * time.Hour
)

// accountKey returns the key of an account in the limits. Names without an account have keys, too, so
// that an answer does not reveal which accounts exist. The name cannot be derived from the key.
func accountKey(name string) string {
	if name == "" {
		return ""
	}
	return store.SecretName("account", strings.ToLower(name))
}

// account returns the key of the account of an attempt, or "" for an attempt without a name. The
// key of the administrator is that of a name that no client can send.
func (a Attempt) account() string {
	if a.Secret == AdminSecret {
		return store.SecretName("administrator", "")
	}
	return accountKey(a.Account)
}

// accountBucket returns the bucket of the account of an attempt. The bucket has no account if
// the limit of accounts does not apply: the attempt has no name, the client has signed in to the
// account before, or the secret is not a password that a person chose. For the administrator's
// password, clients that an address does not identify have the limit [GuessingAdmin] instead.
func (g *Guard) accountBucket(who netip.Prefix, a Attempt) (b bucket) {
	account := a.account()
	switch {
	case account == "", a.Secret == TokenSecret, a.Secret == AdminSecret && !isBannable(who), g.hasSignedIn(account, who):
		return b
	}
	return bucket{account: account, action: GuessingAccount}
}

// keptAccounts is the maximum number of accounts that keepUsedAccounts inspects.
const keptAccounts = 16

// keepUsedAccounts moves accounts with a limit that is half used away from the end of the list, where
// they would be evicted next. Otherwise one guess at each of many other names would reset the limit of
// an account. g.mu is held.
func (g *Guard) keepUsedAccounts() {
	for range keptAccounts {
		account, l, ok := g.accounts.GetOldest()
		if !ok || l.left() > l.Burst()/2 {
			return
		}
		g.accounts.Get(account)
	}
}

// Remember records that the client is the owner of the account of an attempt, as a right
// password does. Call it when the client has proved this in another way, such as by the token
// with which a new password is set.
func (g *Guard) Remember(cl client.Client, a Attempt) {
	if who, why := g.Key(cl); why == "" {
		g.remember(a.account(), who)
	}
}

// hasSignedIn reports whether the client has signed in to the account before.
func (g *Guard) hasSignedIn(account string, who netip.Prefix) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	known, ok := g.known.Get(account)
	return ok && who.IsValid() && known.Contains(who)
}

// remember records that the client has signed in to the account. Of the addresses of the account, and
// of all accounts, it evicts those without a sign-in for the longest time. Only a new address is
// written to the store, after the answer to the client.
func (g *Guard) remember(account string, who netip.Prefix) {
	if account == "" || !who.IsValid() {
		return
	}
	if isNew := g.rememberHere(account, who); isNew && g.isShared() && !isThisMachine(who) {
		go func() { g.notice(g.rememberShared(account, who)) }()
	}
}

func (g *Guard) rememberHere(account string, who netip.Prefix) (isNew bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	known, ok := g.known.Get(account)
	if !ok {
		known, _ = simplelru.NewLRU[netip.Prefix, struct{}](knownAddresses, nil) // no error: the size is positive
		g.known.Add(account, known)
	}
	if _, old := known.Get(who); old {
		return false
	}
	known.Add(who, struct{}{})
	return true
}

// The value of an account in the store has its addresses, newest first.
func knownName(account string) string { return "known-" + account }

// hasSignedInShared is like hasSignedIn for all nodes. It is called only before the client would
// wait or be refused, so that no other sign-in waits for the store.
func (g *Guard) hasSignedInShared(account string, who netip.Prefix) bool {
	if account == "" || !who.IsValid() || !g.isShared() {
		return false
	}
	found := errors.New("found")
	err := g.inTime(func() error {
		ctx, cancel := context.WithTimeout(context.Background(), callTimeout)
		defer cancel()
		value, err := g.knownInStore(ctx, account)
		if slices.Contains(strings.Fields(string(value)), who.String()) {
			g.rememberHere(account, who)
			return found
		}
		if !errors.Is(err, store.ErrAbsent) && !errors.Is(err, store.ErrSealed) {
			g.notice(err)
		}
		return nil
	})
	return err == found
}

// rememberShared repeats the write if other nodes write at the same time.
func (g *Guard) rememberShared(account string, who netip.Prefix) error {
	ctx, cancel := context.WithTimeout(context.Background(), callTimeout)
	defer cancel()
	name := knownName(account)
	for range 5 {
		old, err := g.knownInStore(ctx, account)
		if errors.Is(err, store.ErrSealed) {
			if !g.canReplace(ctx) {
				return nil
			}
			if err := g.store.Delete(ctx, name); err != nil {
				return err
			}
			err = store.ErrAbsent
		}
		absent := errors.Is(err, store.ErrAbsent)
		if err != nil && !absent {
			return err
		}
		list := slices.DeleteFunc(strings.Fields(string(old)), func(s string) bool { return s == who.String() })
		list = append([]string{who.String()}, list...)
		value := []byte(strings.Join(list[:min(len(list), knownAddresses)], "\n"))
		var done bool
		if absent {
			done, err = g.store.PutIfAbsent(ctx, name, value, knownFor)
		} else {
			done, err = g.store.CompareAndSwap(ctx, name, old, value, knownFor)
		}
		if done || err != nil {
			return err
		}
	}
	return nil
}
