// Copy the way in which settings select one of the three methods by which package forwarded finds
// a client. Change the names of the settings.

package main

import (
	"slices"
	"strconv"
	"strings"

	"github.com/seed-94e48765/portico/examples/internal/settings"
	"github.com/seed-94e48765/portico/forwarded"
)

// readForwarded reads the settings by which listeners without PROXY protocol find the client of
// a request.
func (cfg *config) readForwarded(values *settings.Values) error {
	header, hops, proto := values.Get("FORWARDED_HEADER"), values.Get("FORWARDED_HOPS"), values.Get("FORWARDED_PROTO")
	var err error
	if cfg.forwarded.Proto, err = proto.Bool(); err != nil {
		return err
	}
	if err := cfg.readForwardedHeader(header); err != nil {
		return err
	}
	if hops.Text != "" {
		n, err := strconv.Atoi(hops.Text)
		switch {
		case err != nil || n < 1 || n > forwarded.DefaultMaxHops:
			return hops.Errorf("use a number from 1 to %d, or unset it to compare addresses with the list of trusted proxies", forwarded.DefaultMaxHops)
		case cfg.forwarded.SingleHeader != "":
			return hops.Errorf("%s is %q, a header with one address and no hops to count: unset one of the two", header.From, header.Text)
		}
		cfg.forwarded.TrustedHops = n
	}
	for _, s := range []settings.Value{header, hops, proto} {
		isSet := s.Text != "" && (s != proto || cfg.forwarded.Proto)
		if !isSet {
			continue
		}
		if err := cfg.checkIsRead(s); err != nil {
			return err
		}
	}
	return nil
}

// checkIsRead returns an error for a setting of forwarding headers that no listener uses.
func (cfg *config) checkIsRead(s settings.Value) error {
	var lists []string // the settings with the trusted proxies of those listeners
	for _, name := range []string{"http", "https"} {
		if !cfg.isOpen(name) || cfg.proxy[name] {
			continue
		}
		list := cfg.trusted.of[name]
		if len(list.items) > 0 {
			return nil
		}
		if !slices.Contains(lists, list.From) {
			lists = append(lists, list.From)
		}
	}
	if len(lists) == 0 {
		return s.Errorf("no listener reads forwarding headers: set MAILFRONT_HTTP_CLIENT or MAILFRONT_HTTPS_CLIENT to forwarded, or unset it")
	}
	return s.Errorf("no forwarding header is read, because no proxy is trusted: set %s to the networks of the proxies, or unset it", strings.Join(lists, " or "))
}

func (cfg *config) readForwardedHeader(s settings.Value) error {
	switch strings.ToLower(s.Text) {
	case "", strings.ToLower(forwarded.XForwardedFor.String()):
		return nil
	case strings.ToLower(forwarded.Forwarded.String()):
		cfg.forwarded.Header = forwarded.Forwarded
		return nil
	}
	cfg.forwarded.SingleHeader = s.Text
	if _, err := forwarded.New(cfg.forwarded); err != nil {
		return s.Errorf("use X-Forwarded-For, Forwarded, or the name of a header in which the proxy writes one address, such as CF-Connecting-IP, True-Client-IP or X-Real-IP; a header that clients set themselves, such as Host, is refused")
	}
	return nil
}

// forwardedHeader returns the name of the header that is read.
func (cfg *config) forwardedHeader() string {
	if cfg.forwarded.SingleHeader != "" {
		return cfg.forwarded.SingleHeader
	}
	return cfg.forwarded.Header.String()
}
