package guard

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"

	"github.com/seed-94e48765/portico/examples/mailfront/internal/store"
)

// A sealedKind is a kind of entries that this node cannot open. Each kind has its own log line.
type sealedKind string

const (
	sealedBan   sealedKind = "a ban in the store cannot be opened: it is not listed, and this node applies it only when it checks the client in the store"
	sealedKnown sealedKind = "the known addresses of an account cannot be opened: they count as unknown until the next sign-in"
	sealedOther sealedKind = "the store has an entry that cannot be opened"
)

// reportSealed logs that an entry cannot be opened with MAILFRONT_SECRET, at most once a minute for
// each kind, because clients can cause any number of calls for the same entry.
func (g *Guard) reportSealed(kind sealedKind, err error) {
	g.limited.WarnKind(string(kind), "entry_sealed", string(kind), "any", slog.String("reason", err.Error()), slog.String("setting", "MAILFRONT_SECRET"),
		slog.String("advice", "add the secret with which it was sealed to the end of the list, or wait until it expires"))
}

// sealedBans returns the clients of the bans that this node cannot open, and reports one of the bans.
func (g *Guard) sealedBans(entries []store.Entry) map[netip.Prefix]bool {
	found := make(map[netip.Prefix]bool)
	for _, entry := range entries {
		who, err := netip.ParsePrefix(strings.TrimPrefix(entry.Name, store.BanPrefix))
		if !entry.Sealed || err != nil {
			continue
		}
		if len(found) == 0 {
			g.reportSealed(sealedBan, fmt.Errorf("%w: %q", store.ErrSealed, entry.Name))
		}
		found[who] = true
	}
	return found
}

// canReplace reports whether this node may replace an entry that it cannot open.
//
// It may if it can open the epoch. Every node reads the epoch at its start and then twice a minute,
// and a value that is read is sealed again with the first secret of the node. Therefore a node that
// opens the epoch has the secret that is in use, and the secret of the entry was removed.
func (g *Guard) canReplace(ctx context.Context) bool {
	_, err := g.store.Get(ctx, epochName)
	return err == nil
}

// knownInStore returns the value of an account in the store. If the value cannot be opened, it reports
// that and returns an error that wraps store.ErrSealed.
func (g *Guard) knownInStore(ctx context.Context, account string) ([]byte, error) {
	value, err := g.store.Get(ctx, knownName(account))
	if errors.Is(err, store.ErrSealed) {
		g.reportSealed(sealedKnown, err)
	}
	return value, err
}
