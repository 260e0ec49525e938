package guard

import (
	"errors"
	"io"
	"sync"
	"sync/atomic"

	"github.com/seed-94e48765/portico/examples/mailfront/internal/client"
)

// ErrNoMemory is returned by [Guard.Receive] when Limits.Memory or Limits.Share is used up.
var ErrNoMemory = errors.New("guard: too much mail is being received: try later")

// A budget is a number of bytes shared by all sessions.
type budget struct {
	size int64
	used atomic.Int64
}

func newBudget(size int64) *budget { return &budget{size: size} }

func (b *budget) take(n int) bool {
	if b.used.Add(int64(n)) > b.size {
		b.give(n)
		return false
	}
	return true
}

func (b *budget) give(n int) { b.used.Add(-int64(n)) }

func (b *budget) inUse() int64 { return b.used.Load() }

const (
	firstRead = 32 << 10 // bytes
	// A message is in memory twice for a moment: as it was read, and with its trace fields.
	copiesOfMessage = 2
)

// A share is the part of a budget that one client may use.
type share struct {
	budget
	users int // messages that are being received
}

// Receive reads r until io.EOF. The data counts in Limits.Memory and in its client's Limits.Share, so
// that one client cannot stop all mail with messages that never end. Receive returns ErrNoMemory if a
// limit is used up. Call release, after an error too, when data is no longer needed.
func (g *Guard) Receive(cl client.Client, r io.Reader) (data []byte, release func(), err error) {
	who, why := g.Key(cl)
	if why != "" {
		return g.memory.readAll(r)
	}
	g.mu.Lock()
	s := g.share[who]
	if s == nil {
		s = &share{budget: budget{size: g.limits.Share}}
		g.share[who] = s
	}
	s.users++
	g.mu.Unlock()
	data, give, err := g.memory.readAll(r, &s.budget)
	return data, sync.OnceFunc(func() {
		give()
		g.mu.Lock()
		defer g.mu.Unlock()
		if s.users--; s.users == 0 {
			delete(g.share, who)
		}
	}), err
}

// readAll is like io.ReadAll within the budget and the budgets also. It takes bytes from them as the
// client sends data. Call release, after an error too, when data is no longer needed.
func (b *budget) readAll(r io.Reader, also ...*budget) (data []byte, release func(), err error) {
	all := append(also, b)
	taken := 0
	give := func(n int) {
		for _, b := range all {
			b.give(n)
		}
	}
	release = func() { give(taken); taken = 0 }
	for {
		if len(data) == cap(data) {
			size := max(firstRead, 2*cap(data))
			for i, b := range all { // both copies are in memory for a moment
				if !b.take(copiesOfMessage * size) {
					for _, b := range all[:i] {
						b.give(copiesOfMessage * size)
					}
					return nil, release, ErrNoMemory
				}
			}
			data = append(make([]byte, 0, size), data...)
			give(taken)
			taken = copiesOfMessage * size
		}
		n, err := r.Read(data[len(data):cap(data)])
		data = data[:len(data)+n]
		if err == io.EOF {
			return data, release, nil
		}
		if err != nil {
			return nil, release, err
		}
	}
}
