// Copy keepBans, which waits a moment after a change, so that a burst of bans causes one write.
// Change the name of the file.

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
	// bansFile is the suffix that the file of bans adds to the name of the state file.
	bansFile = ".bans"
	// bansDelay is the maximum time between a change and its write.
	bansDelay = 2 * time.Second
)

// openGuard shares bans and limits with the other nodes if a shared store is configured.
// Otherwise it restores the bans of the previous process from the file next to MAILFRONT_STATE.
// close stops the goroutine that openGuard started.
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

// keepBans writes the bans after each change and when ctx ends. written is the value of
// guard.BanChanges for the bans that the file already has.
func (f *frontend) keepBans(ctx context.Context, path string, written uint64) {
	failed := false
	tick := time.NewTicker(bansDelay)
	defer tick.Stop()
	for ended := false; !ended; {
		select {
		case <-tick.C:
		case <-ctx.Done():
			ended = true // end the loop after this write
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
			f.log.Error("cannot write the bans: they are lost when mailfront stops", "event", "bans_not_kept", "setting", "MAILFRONT_STATE", "reason", err.Error())
		}
		failed = err != nil
	}
}
