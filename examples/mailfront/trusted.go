// What to copy: readTrusted and watchTrusted, for a list of proxies that has names. What to
// change: the settings.

package main

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/seed-94e48765/portico/examples/internal/settings"
	"github.com/seed-94e48765/portico/trustnet"
)

const (
	namePrefix = "dns:"

	// A new proxy is not trusted until its name is looked up again.
	nameInterval = 10 * time.Second
	nameMaxStale = 5 * time.Minute
)

// readTrusted reads the list of trusted proxies. watchTrusted looks its names up.
func (cfg *config) readTrusted(values *settings.Values) error {
	list, file, within := values.Get("TRUSTED_PROXIES"), values.Get("TRUSTED_PROXIES_FILE"), values.Get("TRUSTED_WITHIN")
	cfg.trusted = new(trustnet.Live)
	items := strings.Split(list.Text, ",")
	isName := func(item string) bool { return strings.HasPrefix(strings.TrimSpace(item), namePrefix) }
	hasNames := slices.ContainsFunc(items, isName)
	switch {
	case within.Text != "" && !hasNames:
		return within.Errorf("%s has no %sNAME: unset one, or set the other", list.From, namePrefix)
	case list.Text != "" && file.Text != "":
		return fmt.Errorf("mailfront: %s and %s are both set: use one of them", list.From, file.From)
	case hasNames:
		return cfg.readNames(list, within, items, isName)
	case list.Text != "":
		set, err := trustnet.Parse(list.Text)
		if err == nil {
			err = checkTrusted(set)
		}
		if err != nil {
			return list.Errorf("%w", err)
		}
		cfg.trusted.Store(set)
	case file.Text != "":
		set, err := readTrustedFile(file)
		if err != nil {
			return err
		}
		cfg.trusted.Store(set)
		cfg.trustedFile = file
	}
	return nil
}

// readNames reads a list with names. watchTrusted checks the names.
func (cfg *config) readNames(list, within settings.Value, items []string, isName func(string) bool) error {
	cfg.trustedNames = &trustnet.Names{Items: items, Interval: nameInterval, MaxStale: nameMaxStale}
	if within.Text != "" {
		set, err := trustnet.Parse(within.Text)
		if err == nil {
			err = checkTrusted(set)
		}
		if err != nil {
			return within.Errorf("%w", err)
		}
		cfg.trustedNames.Within = set
	}
	if literal := slices.DeleteFunc(slices.Clone(items), isName); len(literal) > 0 {
		set, err := trustnet.Parse(literal...)
		if err == nil && set.TrustsAll() {
			err = checkTrusted(set)
		}
		if err != nil {
			return list.Errorf("%w", err)
		}
		cfg.trusted.Store(set)
	}
	return nil
}

// watchTrusted looks the names in the list of trusted proxies up, and goes on until ctx ends.
func (cfg *config) watchTrusted(ctx context.Context, log *slog.Logger) error {
	names := cfg.trustedNames
	if names == nil {
		return nil
	}
	const setting = "MAILFRONT_TRUSTED_PROXIES"
	names.OnChange = func(set *trustnet.Set) {
		log.Info("the addresses of the trusted proxies", "event", "trusted_changed", "setting", setting, "trusted", set.String())
		if set.TrustsAll() {
			log.Error("the list of trusted proxies covers all of IPv4 or IPv6, so no peer is trusted", "event", "trusts_all", "setting", setting)
		}
	}
	names.OnError = func(err error) {
		log.Warn("a name in the list of trusted proxies", "event", "trusted_name", "setting", setting, "reason", err.Error())
	}
	if err := names.Watch(ctx, cfg.trusted); err != nil {
		return fmt.Errorf("mailfront: %s: %w", setting, err)
	}
	return nil
}
