// What to copy: follow: messages for speed, and a poll behind them, because messages get lost.
// What to change: what is followed.

package main

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/seed-94e48765/portico/examples/mailfront/internal/store"
	"github.com/seed-94e48765/portico/examples/mailfront/internal/webauth"
)

// pollInterval is how often a node looks for changes of other nodes.
const pollInterval = time.Second

// follow takes over what other nodes change, and notices when the store is back, until ctx
// ends.
func (f *frontend) follow(ctx context.Context) {
	go f.store.Subscribe(ctx, setupTopic, func([]byte) { f.watched.wakeUp() })
	f.repeat(ctx, f.watched.wake, f.poll)
}

// followKeys does the same for the signing keys. It is apart because making a key takes a moment.
func (f *frontend) followKeys(ctx context.Context) {
	if f.signIn != nil {
		f.repeat(ctx, nil, f.signIn.Refresh)
	}
}

// repeat calls do every pollInterval and after each wake, and logs an error once.
func (f *frontend) repeat(ctx context.Context, wake <-chan struct{}, do func(context.Context) error) {
	tick := time.NewTicker(pollInterval)
	defer tick.Stop()
	var reported string
	for {
		if err := do(ctx); err == nil || errors.Is(err, store.ErrUnavailable) {
			reported = "" // logged by the watchedStore
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

// firstState takes the state of the store before the node serves. A store that is away is asked
// again by follow.
func (f *frontend) firstState() {
	if f.watched == nil {
		return
	}
	_ = f.admin.refresh(f.ctx) // follow logs it
	if base := f.documents.Current().Base(); f.cfg.hostname == "" && !base.IsRelative() {
		f.cfg.hostname = base.Hostname()
	}
	if f.cfg.passwordIsRandom {
		f.log.Warn("every node has a password of its own for the account: a sign-in works on one of them only",
			"event", "password_not_shared", "setting", "MAILFRONT_DEMO_PASSWORD", "reason", "it is not set, and a random one is made at each start")
	}
}

// waits reports whether the node has no public URL because the store did not answer yet.
func (f *frontend) waits() bool { return f.admin.now.Load().waiting }

// refuseWaiting answers a request that needs the state if the node has no state. Documents on a
// wrong base would be cached, and a set-up could be a second one.
func (f *frontend) refuseWaiting(w http.ResponseWriter) bool {
	if !f.waits() {
		return false
	}
	webauth.NoStore(w)
	w.Header().Set("Retry-After", webauth.RetryAfterOutage)
	http.Error(w, "The server waits for its set-up: try later.", http.StatusServiceUnavailable)
	return true
}
