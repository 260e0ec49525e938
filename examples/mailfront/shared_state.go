// Copy this file: it distinguishes a state that is absent from a store that is not available, and a
// node never forgets a set-up that it has seen. No changes are needed.

package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"

	"github.com/seed-94e48765/portico/examples/mailfront/internal/store"
	"github.com/seed-94e48765/portico/publicurl"
)

const (
	setupName  = "setup" // name of the state in the store; it never expires
	setupTopic = "setup" // a message reports that the state has changed
)

var (
	errSetUp = errors.New("mailfront: the set-up is complete: another node was first")

	// errUnconfirmed is returned when the store has not confirmed a change of the state.
	errUnconfirmed = errors.New("mailfront: the store did not confirm the change (MAILFRONT_STORE): load the page again in a while to see whether it took effect")
)

// shared reports whether the state is in a shared store.
func (a *admin) shared() bool { return a.f.cfg.redis != nil }

// refresh loads the state of the store. After an error the node keeps its state.
func (a *admin) refresh(ctx context.Context) error {
	if !a.shared() {
		return nil
	}
	raw, err := a.f.store.Get(ctx, setupName)
	switch {
	case errors.Is(err, store.ErrAbsent):
		return a.absent(ctx)
	case err != nil:
		a.unanswered()
		return err
	}
	var s state
	if err := json.Unmarshal(raw, &s); err != nil || s.PublicURL == "" {
		return fmt.Errorf("mailfront: the state in the store is damaged (MAILFRONT_STORE): restore the store, or delete %q: %w", setupName, err)
	}
	return a.adopt(ctx, s, raw)
}

// unanswered makes a node without state wait for the store, because another node may have completed
// the set-up.
func (a *admin) unanswered() {
	a.changing.Lock()
	defer a.changing.Unlock()
	if now := a.now.Load(); now.PublicURL == "" && !now.waiting && !a.f.cfg.hasBase() {
		next := *now
		next.waiting = true
		a.now.Store(&next)
	}
}

// hasBase reports whether the settings contain the public URL, so that the state is not needed for it.
func (cfg *config) hasBase() bool { return cfg.mode == modeNormal && cfg.publicURL.Text != "" }

// absent handles a store without state. A node that has seen a state restores it.
func (a *admin) absent(ctx context.Context) error {
	a.changing.Lock()
	defer a.changing.Unlock()
	now := a.now.Load()
	a.seen = true
	if now.PublicURL != "" {
		return a.restore(ctx, now)
	}
	next := adminState{token: now.token}
	switch {
	case a.f.cfg.mode != modeNormal:
		if next.token == "" {
			next.token = rand.Text()
		}
	case a.f.cfg.base.IsRelative(): // MODE does not allow bootstrap
		next.waiting = true
	}
	if next.token == now.token && next.waiting == now.waiting {
		return nil
	}
	a.now.Store(&next)
	if next.token != now.token {
		a.announce()
	}
	return nil
}

// restore writes a state that has vanished back to the store. a.changing is held.
func (a *admin) restore(ctx context.Context, now *adminState) error {
	next := *now
	cause := "the store has lost the set-up, which has no expiry: it was emptied, or restarted without its data"
	if next.ID == "" {
		next.ID, next.Revision = rand.Text(), 1
		cause = "the store has no set-up yet, and this node has one in the file of MAILFRONT_STATE"
	}
	var err error
	if next.raw, err = json.Marshal(next.state); err != nil {
		return err
	}
	ok, err := a.f.store.PutIfAbsent(ctx, setupName, next.raw, 0)
	if err != nil || !ok { // another node was first; the next refresh loads its state
		return err
	}
	a.keepCopy(next.state)
	a.now.Store(&next)
	a.f.log.Warn("put the set-up into the store", "event", "setup_restored", "setting", "MAILFRONT_STORE", "reason", cause)
	return nil
}

// adopt applies a state of the store and serves its public URL. If the node has another state of the
// same set-up, the higher revision wins, because a node that was paused may have restored an old one.
func (a *admin) adopt(ctx context.Context, s state, raw []byte) error {
	a.changing.Lock()
	defer a.changing.Unlock()
	old := a.now.Load()
	if s.ID == old.ID && s.Revision < old.Revision {
		ok, err := a.f.store.CompareAndSwap(ctx, setupName, raw, old.raw, 0)
		if ok {
			a.f.log.Warn("replaced an older set-up in the store", "event", "setup_restored", "setting", "MAILFRONT_STORE",
				"reason", fmt.Sprintf("the store had revision %d, and this node has seen revision %d", s.Revision, old.Revision))
		}
		return err
	}
	if !a.seen {
		a.seen, a.first = true, s
	}
	changed := s != a.first // the state has changed since the start of this node
	next := &adminState{state: s, raw: raw}
	if a.f.cfg.mode == modeRecovery && !changed {
		if next.token = old.token; next.token == "" {
			next.token = rand.Text()
		}
	}
	if s == old.state && next.token == old.token && !old.waiting && bytes.Equal(raw, old.raw) {
		return nil
	}
	if next.token == "" && (changed || !a.f.cfg.hasBase()) {
		if err := a.serve(s.PublicURL); err != nil {
			return fmt.Errorf("mailfront: the public URL of the store cannot be served with the settings of this node: %w", err)
		}
	}
	a.keepCopy(s)
	a.now.Store(next)
	if next.token != old.token && next.token != "" {
		a.announce()
	}
	return nil
}

// serve changes the public URL, if it is not the current one.
func (a *admin) serve(publicURL string) error {
	base, err := publicurl.Parse(publicURL)
	if err != nil {
		return err
	}
	if base.String() == a.f.documents.Current().Base().String() {
		return nil
	}
	publish, err := a.f.prepare(base)
	if err != nil {
		return err
	}
	publish()
	a.f.log.Info("the public URL is that of the store", "event", "public_url_adopted", slog.String("public_url", base.String()))
	return nil
}

// keepCopy writes the file of MAILFRONT_STATE, so that the node can start while the store is not
// available. A file of another set-up is renamed first.
func (a *admin) keepCopy(s state) {
	file := a.f.cfg.stateFile
	if file.path == "" {
		return
	}
	err := file.saveAside(s)
	if err == nil {
		err = file.save(s)
	}
	if err != nil {
		a.f.log.Warn("cannot keep a copy of the set-up: this node cannot start while the store is away",
			"event", "setup_not_kept", "setting", "MAILFRONT_STATE", "reason", err.Error())
	}
}

// swap replaces old by next in the store. It returns nil only if the store confirms the change.
func (a *admin) swap(ctx context.Context, old, next *adminState) (err error) {
	next.ID, next.Revision = old.ID, old.Revision+1
	if next.ID == "" {
		next.ID = rand.Text()
	}
	if next.raw, err = json.Marshal(next.state); err != nil {
		return err
	}
	var ok bool
	if old.raw == nil {
		ok, err = a.f.store.PutIfAbsent(ctx, setupName, next.raw, 0)
	} else {
		ok, err = a.f.store.CompareAndSwap(ctx, setupName, old.raw, next.raw, 0)
	}
	switch {
	case errors.Is(err, store.ErrUnavailable):
		// The reply may be lost. Read the state instead of repeating the write.
		if raw, lookErr := a.f.watched.look(ctx, setupName); lookErr == nil && bytes.Equal(raw, next.raw) {
			return nil
		}
		return fmt.Errorf("%w: %w", errUnconfirmed, err)
	case err != nil:
		return err
	case !ok && old.raw == nil:
		return errSetUp
	case !ok:
		return errChanged
	}
	return nil
}

// announceChange makes the other nodes read the state. If the message is lost, they read it a second
// later.
func (a *admin) announceChange(ctx context.Context) {
	if a.shared() {
		_ = a.f.store.Publish(ctx, setupTopic, []byte("changed"))
	}
}
