package guard

import (
	"context"
	"encoding/json"
	"errors"
	"net/netip"
	"sync"
	"time"

	"github.com/seed-94e48765/portico/examples/mailfront/internal/store"
)

const (
	// banTopic is the topic on which the nodes announce bans.
	banTopic = "bans"
	// epochName has a value as long as the store keeps the bans. If the value is absent, the store was
	// emptied.
	epochName = "bans-epoch"

	pollInterval  = 30 * time.Second // makes up for lost messages
	retryInterval = time.Second      // while the store is not available
	syncTimeout   = 10 * time.Second
)

// A banMessage announces a ban or a lifted ban.
type banMessage struct {
	Ban    *Ban         `json:"ban,omitempty"`
	Lifted netip.Prefix `json:"lifted,omitzero"`
}

// Mirror keeps the bans of all nodes in the memory of this node, and makes the deferred charges, until
// ctx ends. It is required after [Guard.Share].
func (g *Guard) Mirror(ctx context.Context) {
	messages := make(chan []byte)
	var running sync.WaitGroup
	defer running.Wait()
	running.Go(func() { g.payCharges(ctx) })
	running.Go(func() {
		g.store.Subscribe(ctx, banTopic, func(message []byte) {
			select {
			case messages <- message:
			case <-ctx.Done():
			}
		})
	})
	poll, retry := time.NewTicker(pollInterval), time.NewTicker(retryInterval)
	defer poll.Stop()
	defer retry.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case message := <-messages:
			if message == nil { // messages may have been missed
				g.synchronize(ctx)
			} else {
				g.apply(message)
			}
		case <-poll.C:
			g.synchronize(ctx)
		case <-retry.C:
			if g.away.Load() && g.storeAnswers(ctx) {
				g.synchronize(ctx)
			}
		}
	}
}

// storeAnswers reports whether the store answers fast enough.
func (g *Guard) storeAnswers(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, g.limits.StoreWait)
	defer cancel()
	_, err := g.store.Admit(ctx, "-")
	return err == nil
}

func (g *Guard) apply(message []byte) {
	var m banMessage
	if json.Unmarshal(message, &m) != nil {
		return
	}
	if m.Lifted.IsValid() {
		g.lift(m.Lifted)
	}
	if m.Ban != nil {
		g.mu.Lock()
		defer g.mu.Unlock()
		g.addBan(*m.Ban, true)
	}
}

// synchronize stores the bans that only this node has, and reads those of other nodes. After that the
// store counts as available.
func (g *Guard) synchronize(ctx context.Context) {
	limited, cancel := context.WithTimeout(ctx, syncTimeout)
	defer cancel()
	err := g.synchronizeBans(limited)
	if ctx.Err() == nil { // otherwise Mirror is about to return
		g.notice(err)
	}
	if err == nil && g.away.CompareAndSwap(true, false) {
		g.late.reset()
		g.log.Info("the store answers again: limits and bans are shared", "event", "limits_shared")
	}
}

func (g *Guard) synchronizeBans(ctx context.Context) error {
	began := time.Now()
	epoch, err := g.readEpoch(ctx)
	if err != nil {
		return err
	}
	for _, b := range g.bansToStore(epoch) {
		if err := g.storeBan(b); err != nil {
			return err
		}
	}
	entries, err := g.store.List(ctx, store.BanPrefix, g.limits.Clients)
	if err != nil {
		return err
	}
	found := g.sealedBans(entries) // a ban in memory is kept
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, entry := range entries {
		var b Ban
		if json.Unmarshal(entry.Value, &b) != nil || store.BanName(b.Address.String()) != entry.Name {
			continue
		}
		found[b.Address] = true
		if old, ok := g.bans.Peek(b.Address); !ok || !old.Until.Equal(b.Until) {
			g.addBan(b, true)
		}
	}
	for _, who := range g.bans.Keys() {
		if b, _ := g.bans.Peek(who); b.stored && b.learned.Before(began) && !found[who] {
			g.removeBan(who)
		}
	}
	return nil
}

// readEpoch creates the epoch if it is missing.
func (g *Guard) readEpoch(ctx context.Context) (string, error) {
	if _, err := g.store.PutIfAbsent(ctx, epochName, []byte(time.Now().UTC().Format(time.RFC3339Nano)), 0); err != nil {
		return "", err
	}
	epoch, err := g.store.Get(ctx, epochName)
	return string(epoch), err
}

// bansToStore returns the bans that the store does not have: those that this node could not store, and
// all bans if the store was emptied.
func (g *Guard) bansToStore(epoch string) (list []Ban) {
	g.mu.Lock()
	defer g.mu.Unlock()
	emptied := g.epoch != "" && g.epoch != epoch
	g.epoch = epoch
	for _, who := range g.bans.Keys() {
		b, _ := g.bans.Peek(who)
		b.stored = b.stored && !emptied
		if !b.stored && time.Now().Before(b.Until) {
			list = append(list, b.Ban)
		}
	}
	return list
}

// storeBan stores a ban and announces it to the other nodes. If another node has banned the client at
// the same time, that ban is kept.
func (g *Guard) storeBan(b Ban) error {
	ctx, cancel := context.WithTimeout(context.Background(), callTimeout)
	defer cancel()
	left := time.Until(b.Until)
	if left < time.Millisecond {
		return nil
	}
	value, err := json.Marshal(b)
	if err != nil {
		return err
	}
	if _, err = g.store.PutIfAbsent(ctx, store.BanName(b.Address.String()), value, left); err != nil {
		return err
	}
	g.mu.Lock()
	if mine, ok := g.bans.Peek(b.Address); ok {
		mine.stored, mine.learned = true, time.Now()
	}
	g.mu.Unlock()
	return g.publish(ctx, banMessage{Ban: &b})
}

func (g *Guard) publish(ctx context.Context, m banMessage) error {
	message, err := json.Marshal(m)
	if err != nil {
		return err
	}
	return g.store.Publish(ctx, banTopic, message)
}

// Lift ends a ban on all nodes, and reports whether the client was banned. The limits of the client
// start anew in any case. The error wraps store.ErrUnavailable if the store is not available. The ban
// then remains.
func (g *Guard) Lift(ctx context.Context, who netip.Prefix) (banned bool, err error) {
	if g.store == nil {
		return g.lift(who), nil
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	charge, _ := g.sharedCharge(bucket{who: who, action: Guessing})
	if err := g.store.Delete(ctx, store.BucketName(charge.Bucket)); err != nil {
		return false, err
	}
	_, err = g.store.Take(ctx, store.BanName(who.String()))
	wasStored := err == nil || errors.Is(err, store.ErrSealed) // a ban that cannot be opened is one, too
	if !wasStored && !errors.Is(err, store.ErrAbsent) {
		return false, err
	}
	wasHere := g.lift(who) // a ban that this node could not store
	return wasStored || wasHere, g.publish(ctx, banMessage{Lifted: who})
}
