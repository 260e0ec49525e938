// What to copy: the whole file, where many clients can make a server keep much in
// memory at once. What to change: write to a file instead, and keep less.

package main

import (
	"errors"
	"io"
	"sync/atomic"
)

var errNoMemory = errors.New("mailfront: too much mail is being received: try later")

// A budget is a number of bytes that all sessions share.
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
	// A message is there once as it was read, and once with its trace fields.
	copiesOfMessage = 2
)

// readAll is io.ReadAll within the budget: what a client has not sent takes
// nothing of it. Call release when data is not needed any more, after an error,
// too.
func (b *budget) readAll(r io.Reader) (data []byte, release func(), err error) {
	taken := 0
	release = func() { b.give(taken); taken = 0 }
	for {
		if len(data) == cap(data) {
			size := max(firstRead, 2*cap(data))
			if !b.take(copiesOfMessage * size) { // for a moment both are there
				return nil, release, errNoMemory
			}
			data = append(make([]byte, 0, size), data...)
			b.give(taken)
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
