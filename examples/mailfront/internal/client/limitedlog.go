package client

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

const (
	limitedLogInterval = time.Minute
	limitedLogKeys     = 256 // keys in memory; all other keys share one line in each interval
)

// A limitedKey identifies lines of which one is written in each interval.
type limitedKey struct{ cause, kind, listener string }

// otherKey is the key of all lines beyond limitedLogKeys.
var otherKey = limitedKey{cause: "other", listener: "any"}

// A LimitedLog writes at most one warning in each interval for each cause and listener. The next line
// has the number of lines that were suppressed in between. The memory is bounded, even if clients can
// choose the cause.
type LimitedLog struct {
	log      *slog.Logger
	interval time.Duration
	keys     int

	mu   sync.Mutex
	seen map[limitedKey]*limitedEntry
}

type limitedEntry struct {
	last       time.Time // time of the last line
	suppressed uint64    // number of lines since last
}

// NewLimitedLog returns a LimitedLog that writes to log.
func NewLimitedLog(log *slog.Logger) *LimitedLog {
	return &LimitedLog{log: log, interval: limitedLogInterval, keys: limitedLogKeys, seen: make(map[limitedKey]*limitedEntry)}
}

// Warn writes a line unless a line with the same cause and listener was written within the interval.
// The line has the attributes proto, event and the given ones. If lines were suppressed, it also has
// the attribute suppressed. The cause is the event of the line.
func (l *LimitedLog) Warn(message, cause, listener string, attrs ...slog.Attr) {
	l.WarnKind(message, cause, "", listener, attrs...)
}

// WarnKind is like Warn for an event that has several kinds. Each kind has its own interval, so that
// lines that any client can cause do not suppress lines about a proxy. The kind is not logged.
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

// allow reports whether a line with this key may be written now, and how many lines were suppressed
// since the last one. If ok is false, the line is counted as suppressed.
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

// entry returns the entry of key, or that of otherKey if there are too many keys. l.mu is held.
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

// forget removes the entries whose interval is over, and adds their suppressed lines to otherKey. l.mu
// is held.
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
