// What to copy: keepBans, which writes the bans a moment after they change, so that a burst
// of them is one write. What to change: the name of the file.

package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sync"
	"time"

	"github.com/seed-94e48765/portico/examples/mailfront/internal/guard"
)

const (
	// bansFile is what the file of the bans is called, after the name of the state file.
	bansFile = ".bans"
	// bansDelay is how long after a change they are written, at most.
	bansDelay = 2 * time.Second
)

// openGuard shares the bans and limits with the other nodes, if there is a store for them.
// Otherwise it restores the bans of the process before, which are kept next to
// MAILFRONT_STATE. close ends what it began.
func (f *frontend) openGuard() (close func(), err error) {
	var run func(context.Context)
	if f.cfg.redis != nil {
		f.guard.Share(f.store)
		run = f.guard.Mirror
	} else if f.cfg.stateFile.path != "" {
		path := f.cfg.stateFile.path + bansFile
		if err := restoreBans(f.guard, path); err != nil {
			return nil, err
		}
		restored := f.guard.BanChanges()
		run = func(ctx context.Context) { f.keepBans(ctx, path, restored) }
	} else {
		return func() {}, nil
	}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { run(ctx) })
	return func() { cancel(); running.Wait() }, nil
}

func restoreBans(g *guard.Guard, path string) error {
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	var bans []guard.Ban
	if err == nil {
		bans, err = guard.ParseBans(b)
	}
	if err != nil {
		return fmt.Errorf("mailfront: the file of the bans, %s, cannot be used: restore it, or remove it to start without bans (it is kept next to MAILFRONT_STATE): %w", path, err)
	}
	g.Restore(bans)
	return nil
}

// keepBans writes the bans after they have changed, and when ctx ends. written is the number of
// changes that are in the file.
func (f *frontend) keepBans(ctx context.Context, path string, written uint64) {
	failed := false
	tick := time.NewTicker(bansDelay)
	defer tick.Stop()
	for ended := false; !ended; {
		select {
		case <-tick.C:
		case <-ctx.Done():
			ended = true // after what follows
		}
		changes := f.guard.BanChanges()
		if changes == written {
			continue
		}
		b, err := guard.FormatBans(f.guard.Bans())
		if err == nil {
			err = writeAtomically(path, b)
		}
		switch {
		case err == nil:
			written = changes
		case !failed:
			f.log.Error("bans cannot be written: they are lost when mailfront ends", "event", "bans_not_kept", "setting", "MAILFRONT_STATE", "reason", err.Error())
		}
		failed = err != nil
	}
}
