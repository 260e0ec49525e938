package client

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

const (
	limitedLogInterval = time.Minute
	limitedLogKeys     = 256 // that are remembered; all others share one line an interval
)

// A limitedKey identifies the lines of which one an interval is enough.
type limitedKey struct{ cause, kind, listener string }

// otherKey is for the causes beyond limitedLogKeys.
var otherKey = limitedKey{cause: "other", listener: "any"}

// A LimitedLog writes at most one warning an interval for each cause and listener. The
// next line has the number of those that were suppressed in between. The memory is
// bounded, also where a client can choose the cause.
type LimitedLog struct {
	log      *slog.Logger
	interval time.Duration
	keys     int

	mu   sync.Mutex
	seen map[limitedKey]*limitedEntry
}

type limitedEntry struct {
	last       time.Time // when a line was written
	suppressed uint64    // since then
}

// NewLimitedLog writes to log.
func NewLimitedLog(log *slog.Logger) *LimitedLog {
	return &LimitedLog{log: log, interval: limitedLogInterval, keys: limitedLogKeys, seen: make(map[limitedKey]*limitedEntry)}
}

// Warn writes a line with the attributes proto, event, those given and, if there were
// any, suppressed; unless one with the same cause and listener was written within the
// interval. The cause is the event of the line.
func (l *LimitedLog) Warn(message, cause, listener string, attrs ...slog.Attr) {
	l.WarnKind(message, cause, "", listener, attrs...)
}

// WarnKind is Warn for an event of several kinds, each of which has its own interval: lines that
// any client can cause do not suppress those about a proxy. The line does not have the kind.
func (l *LimitedLog) WarnKind(message, cause, kind, listener string, attrs ...slog.Attr) {
	suppressed, ok := l.allow(limitedKey{cause, kind, listener})
	if !ok {
		return
	}
	attrs = append([]slog.Attr{slog.String("proto", listener), slog.String("event", cause)}, attrs...)
	if suppressed > 0 {
		attrs = append(attrs, slog.Uint64("suppressed", suppressed))
	}
	l.log.LogAttrs(context.Background(), slog.LevelWarn, message, attrs...)
}

// allow reports whether a line of this key may be written now, and how many were suppressed
// since the last one. If ok is false, this one is counted as suppressed.
func (l *LimitedLog) allow(key limitedKey) (suppressed uint64, ok bool) {
	now := time.Now()
	l.mu.Lock()
	defer l.mu.Unlock()
	e := l.entry(key, now)
	if !e.last.IsZero() && now.Sub(e.last) < l.interval {
		e.suppressed++
		return 0, false
	}
	suppressed = e.suppressed
	e.last, e.suppressed = now, 0
	return suppressed, true
}

// entry returns that of key, or that of otherKey if there are too many. l.mu is held.
func (l *LimitedLog) entry(key limitedKey, now time.Time) *limitedEntry {
	if e, ok := l.seen[key]; ok {
		return e
	}
	if len(l.seen) >= l.keys {
		l.forget(now)
	}
	if len(l.seen) >= l.keys {
		key = otherKey
	}
	e, ok := l.seen[key]
	if !ok {
		e = new(limitedEntry)
		l.seen[key] = e
	}
	return e
}

// forget removes the entries whose interval is over. The numbers that they suppressed
// go to otherKey. l.mu is held.
func (l *LimitedLog) forget(now time.Time) {
	var lost uint64
	for key, e := range l.seen {
		if key != otherKey && now.Sub(e.last) >= l.interval {
			lost += e.suppressed
			delete(l.seen, key)
		}
	}
	if lost == 0 {
		return
	}
	other, ok := l.seen[otherKey]
	if !ok {
		other = new(limitedEntry)
		l.seen[otherKey] = other
	}
	other.suppressed += lost
}
