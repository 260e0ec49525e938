package guard

import (
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/seed-94e48765/portico/examples/mailfront/internal/client"
)

// A Ban is a period in which a client is refused on every listener.
type Ban struct {
	Address netip.Prefix `json:"address"` // an IPv4 address or an IPv6 /64; see [Guard.Key]
	Reason  string       `json:"reason"`
	Since   time.Time    `json:"since"`
	Until   time.Time    `json:"until"`
}

// A ban is a Ban in the memory of this node.
type ban struct {
	Ban
	stored  bool      // the ban is in the store, for the other nodes
	learned time.Time // when this node made or read the ban
}

// reasonOf returns the reason of a ban.
func reasonOf(cl client.Client) string { return "wrong passwords, the last one on " + cl.Listener }

// bannedKey returns an error if the client is banned. g.mu is held.
func (g *Guard) bannedKey(who netip.Prefix) error {
	b, ok := g.bans.Get(who)
	if !ok || !isBannable(who) {
		return nil
	}
	left := time.Until(b.Until)
	if left <= 0 {
		g.removeBan(who)
		return nil
	}
	return refused(ErrBanned, left)
}

// addBan replaces the ban of the same address. g.mu is held.
func (g *Guard) addBan(b Ban, stored bool) {
	g.bans.Add(b.Address, &ban{Ban: b, stored: stored, learned: time.Now()})
	g.changes++
}

// removeBan removes a ban and the counted guesses of its client. g.mu is held.
func (g *Guard) removeBan(who netip.Prefix) {
	if g.bans.Remove(who) {
		g.changes++
	}
}

// Bans returns the current bans, newest first.
func (g *Guard) Bans() []Ban {
	g.mu.Lock()
	defer g.mu.Unlock()
	now := time.Now()
	var list []Ban
	for _, b := range g.bans.Values() {
		if now.Before(b.Until) {
			list = append(list, b.Ban)
		}
	}
	slices.SortFunc(list, func(a, b Ban) int {
		if c := b.Since.Compare(a.Since); c != 0 {
			return c
		}
		return strings.Compare(a.Address.String(), b.Address.String())
	})
	return list
}

// BanChanges returns a number that changes with each change of [Guard.Bans], except when a ban
// expires.
func (g *Guard) BanChanges() uint64 {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.changes
}

// Restore adds the bans of an earlier process. It ignores expired bans.
func (g *Guard) Restore(bans []Ban) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, b := range bans {
		if time.Now().Before(b.Until) {
			g.addBan(b, false)
		}
	}
}

// lift removes a ban from this node, and reports whether the client was banned. The limits of the
// client start anew.
func (g *Guard) lift(who netip.Prefix) (banned bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	banned = g.bannedKey(who) != nil
	g.removeBan(who)
	if of, ok := g.clients.Peek(who); ok {
		of[Guessing] = nil
	}
	return banned
}

// ban bans a client, unless it is banned already. The store passes the ban on to other nodes.
func (g *Guard) ban(cl client.Client, who netip.Prefix) {
	now := time.Now()
	b := Ban{Address: who, Reason: reasonOf(cl), Since: now.UTC(), Until: now.Add(g.limits.Ban).UTC()}
	g.mu.Lock()
	isNew := g.bannedKey(who) == nil
	if isNew {
		g.count.Bans++
		g.addBan(b, false)
	}
	g.mu.Unlock()
	if !isNew {
		return
	}
	cl.Warn(g.log, "ban", slog.String("banned", who.String()), slog.Duration("for", g.limits.Ban))
	if g.isShared() {
		g.inTime(func() error { g.notice(g.storeBan(b)); return nil })
	}
}
