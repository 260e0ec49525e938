// Copy watch, which keeps the addresses of names up to date, and reload, which keeps the old list if
// the new one is invalid. Change the log lines.

package main

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/seed-94e48765/portico/examples/mailfront/internal/client"
	"github.com/seed-94e48765/portico/trustnet"
)

const (
	// A new proxy is not trusted until the next look-up of its name.
	nameInterval = 10 * time.Second
	nameMaxStale = 5 * time.Minute
)

// watchTrusted looks up the names in the lists of trusted proxies. It returns after the first
// answers, or after 11 seconds. Peers whose names are not resolved by then are trusted later.
func (f *frontend) watchTrusted() error {
	lists := f.cfg.trusted.lists
	errs := make([]error, len(lists))
	var all sync.WaitGroup
	for i, l := range lists {
		if hasNames(l.items) {
			all.Go(func() { errs[i] = f.watch(context.Background(), l) })
		}
	}
	all.Wait()
	return errors.Join(errs...)
}

// watch looks up the names in a list until l.stop is called. It returns after the first answers,
// or when ctx ends.
func (f *frontend) watch(ctx context.Context, l *trustedList) error {
	watching, stop := context.WithCancel(f.ctx)
	defer context.AfterFunc(ctx, stop)()
	var logged atomic.Bool
	names := trustnet.Names{
		Items:    l.items,
		Interval: nameInterval,
		MaxStale: nameMaxStale,
		Within:   f.cfg.trusted.within,
		Lookup:   f.cfg.trusted.lookup,
		OnChange: func(s *trustnet.Set) {
			logged.Store(true)
			f.trustedChanged(l, s)
		},
		OnError: func(err error) {
			f.log.Warn("the look-up of a trusted proxy failed or its answer was rejected; it will be repeated", "event", "trusted_name",
				"setting", l.From, "reason", client.Quote(err.Error()))
		},
	}
	l.stop = stop
	if err := names.Watch(watching, l.live); err != nil {
		return l.Errorf("%w", err)
	}
	if !logged.Load() { // no address was found
		f.trustedChanged(l, l.live.Trusted())
	}
	return nil
}

// trustedChanged logs and applies every change of a list.
func (f *frontend) trustedChanged(l *trustedList, s *trustnet.Set) {
	f.cfg.trusted.unite()
	networks := s.String()
	if s.IsEmpty() {
		networks = "none"
	}
	f.log.Info("trusted proxies", "event", "trusted", "setting", l.From, "networks", networks)
}

// reloadTrusted reads a file of trusted proxies again. If the file is invalid, the old list remains in
// use, with its names.
func (f *frontend) reloadTrusted(ctx context.Context, l *trustedList) {
	items, set, err := l.read()
	if err != nil {
		f.log.Error("reload failed, the old list stays in force", "setting", l.From, "reason", err.Error())
		return
	}
	if l.stop != nil {
		l.stop()
		l.stop = nil
	}
	l.items = items
	if hasNames(items) {
		if err := f.watch(ctx, l); err != nil { // not reached: read has checked the items
			f.log.Error("reload failed, the old list stays in force", "setting", l.From, "reason", err.Error())
			return
		}
	} else {
		l.live.Store(set)
		f.cfg.trusted.unite()
	}
	f.log.Info("reload", "setting", l.From, "file", l.Text, "networks", len(l.live.Trusted().Prefixes()))
}
