// Copy follow: messages make changes of other nodes visible at once, and polling makes up for
// messages that are lost. Change the state that is followed.

package main

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/seed-94e48765/portico/examples/mailfront/internal/store"
	"github.com/seed-94e48765/portico/examples/mailfront/internal/webauth"
)

// pollInterval is the time between two polls for changes of other nodes.
const pollInterval = time.Second

// follow applies the changes of other nodes, and detects when the store is available again. It
// returns when ctx ends.
func (f *frontend) follow(ctx context.Context) {
	go f.store.Subscribe(ctx, setupTopic, func([]byte) { f.watched.wakeUp() })
	f.repeat(ctx, f.watched.wake, f.poll)
}

// followKeys does the same for the signing keys. It has a goroutine of its own, because making a
// key takes a moment.
func (f *frontend) followKeys(ctx context.Context) {
	if f.signIn != nil {
		f.repeat(ctx, nil, f.signIn.Refresh)
	}
}

// repeat makes do run every pollInterval and after each wake. It logs an error once.
func (f *frontend) repeat(ctx context.Context, wake <-chan struct{}, do func(context.Context) error) {
	tick := time.NewTicker(pollInterval)
	defer tick.Stop()
	var reported string
	for {
		if err := do(ctx); err == nil || errors.Is(err, store.ErrUnavailable) {
			reported = "" // the watchedStore logs an outage
		} else if text := err.Error(); text != reported {
			reported = text
			f.log.Error("the values of the store cannot be used", "event", "store_error", "setting", "MAILFRONT_STORE", "reason", text)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		case <-wake:
		}
	}
}

// poll compares the state of this node with that of the store.
func (f *frontend) poll(ctx context.Context) error {
	f.watched.settle()
	if f.watched.isAway() != nil || !f.checked {
		err := f.watched.probe(ctx)
		if ctx.Err() != nil {
			return nil // the end
		}
		if errors.Is(err, store.ErrUnavailable) {
			f.watched.set(err)
			f.admin.unanswered()
			return err
		}
		if err == nil {
			err = f.checkStore(ctx)
		}
		if err != nil {
			return err
		}
		f.watched.set(nil)
	}
	return f.admin.refresh(ctx)
}

// firstState loads the state of the store before the node serves. If the store is not available,
// follow tries again.
func (f *frontend) firstState() {
	if f.watched == nil {
		return
	}
	_ = f.admin.refresh(f.ctx) // follow logs errors
	if base := f.documents.Current().Base(); f.cfg.hostname == "" && !base.IsRelative() {
		f.cfg.hostname = base.Hostname()
	}
	if f.cfg.passwordIsRandom {
		f.log.Warn("each node has a different password for the account: a sign-in works on one node only",
			"event", "password_not_shared", "setting", "MAILFRONT_DEMO_PASSWORD", "reason", "it is not set, and a random one is made at each start")
	}
}

// waits reports whether the node has no public URL because the store has not answered yet.
func (f *frontend) waits() bool { return f.admin.now.Load().waiting }

// refuseWaiting answers a request that requires the state, while the node has no state. Clients
// would cache documents with a wrong base, and a set-up could be a second one.
func (f *frontend) refuseWaiting(w http.ResponseWriter) bool {
	if !f.waits() {
		return false
	}
	webauth.NoStore(w)
	w.Header().Set("Retry-After", webauth.RetryAfterOutage)
	http.Error(w, "The server waits for its set-up. Try later.", http.StatusServiceUnavailable)
	return true
}
