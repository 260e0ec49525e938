package store

import (
	"bytes"
	"container/heap"
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"
)

// Memory is a [Store] for a single node. Its values are lost when the process ends. When it is
// full, it removes the value that would expire next.
type Memory struct {
	size int

	mu      sync.Mutex
	entries map[string]*entry
	expiry  expiryQueue // the entries with a ttl
	buckets *simplelru.LRU[string, time.Time]
	topics  map[string]map[*subscription]struct{}
}

type entry struct {
	name    string
	value   []byte
	expires time.Time // zero if the value never expires
	index   int       // in Memory.expiry
}

// NewMemory returns an empty store for at most size values and as many buckets. It panics if
// size is not positive.
func NewMemory(size int) *Memory {
	buckets, err := simplelru.NewLRU[string, time.Time](size, nil)
	if err != nil {
		panic(fmt.Sprintf("store: NewMemory(%d): want a positive size", size))
	}
	return &Memory{
		size:    size,
		entries: make(map[string]*entry),
		buckets: buckets,
		topics:  make(map[string]map[*subscription]struct{}),
	}
}

// find returns the entry of a name unless the entry has expired. m.mu is held.
func (m *Memory) find(name string) (*entry, error) {
	m.removeExpired()
	e, ok := m.entries[name]
	if !ok {
		return nil, fmt.Errorf("%w: %q", ErrAbsent, name)
	}
	return e, nil
}

func (m *Memory) removeExpired() {
	for now := time.Now(); len(m.expiry) > 0 && !now.Before(m.expiry[0].expires); {
		m.remove(m.expiry[0])
	}
}

func (m *Memory) remove(e *entry) {
	delete(m.entries, e.name)
	if !e.expires.IsZero() {
		heap.Remove(&m.expiry, e.index)
	}
}

func (m *Memory) set(name string, value []byte, ttl time.Duration) {
	e := &entry{name: name, value: bytes.Clone(value)}
	m.entries[name] = e
	if ttl > 0 {
		e.expires = time.Now().Add(ttl)
		heap.Push(&m.expiry, e)
	}
}

// Get implements [Store].
func (m *Memory) Get(ctx context.Context, name string) ([]byte, error) {
	if err := checkCall(ctx, checkName(name)); err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	e, err := m.find(name)
	if err != nil {
		return nil, err
	}
	return bytes.Clone(e.value), nil
}

// PutIfAbsent implements [Store]. It fails if the store is full of values that never expire.
func (m *Memory) PutIfAbsent(ctx context.Context, name string, value []byte, ttl time.Duration) (bool, error) {
	if err := checkCall(ctx, checkValue(name, value, ttl)); err != nil {
		return false, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, err := m.find(name); err == nil {
		return false, nil
	}
	if len(m.entries) >= m.size {
		if len(m.expiry) == 0 {
			return false, fmt.Errorf("%w: it is full: %d values that never expire", ErrUnavailable, m.size)
		}
		m.remove(m.expiry[0])
	}
	m.set(name, value, ttl)
	return true, nil
}

// Take implements [Store].
func (m *Memory) Take(ctx context.Context, name string) ([]byte, error) {
	if err := checkCall(ctx, checkName(name)); err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	e, err := m.find(name)
	if err != nil {
		return nil, err
	}
	m.remove(e)
	return e.value, nil
}

// CompareAndSwap implements [Store].
func (m *Memory) CompareAndSwap(ctx context.Context, name string, old, new []byte, ttl time.Duration) (bool, error) {
	if err := checkCall(ctx, checkValue(name, new, ttl)); err != nil {
		return false, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	e, err := m.find(name)
	if err != nil || !bytes.Equal(e.value, old) {
		return false, nil
	}
	m.remove(e)
	m.set(name, new, ttl)
	return true, nil
}

// Delete implements [Store].
func (m *Memory) Delete(ctx context.Context, name string) error {
	if err := checkCall(ctx, checkName(name)); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if bucket, ok := strings.CutPrefix(name, bucketPrefix); ok {
		m.buckets.Remove(bucket)
	}
	if e, err := m.find(name); err == nil {
		m.remove(e)
	}
	return nil
}

// List implements [Store].
func (m *Memory) List(ctx context.Context, prefix string, limit int) ([]Entry, error) {
	if err := checkCall(ctx, checkName(prefix)); err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.removeExpired()
	var list []Entry
	for name, e := range m.entries {
		if len(list) == limit {
			break
		}
		if strings.HasPrefix(name, prefix) {
			list = append(list, Entry{Name: name, Value: bytes.Clone(e.value)})
		}
	}
	return list, nil
}

// Admit implements [Store].
func (m *Memory) Admit(ctx context.Context, client string, charges ...Charge) (Admission, error) {
	if err := checkCall(ctx, checkCharges(client, charges)); err != nil {
		return Admission{}, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if e, err := m.find(BanName(client)); err == nil {
		return Admission{Ban: bytes.Clone(e.value)}, nil
	}
	var a Admission
	for _, c := range charges {
		full, _ := m.buckets.Get(c.Bucket)
		next, wait := c.apply(full, time.Now())
		m.buckets.Add(c.Bucket, next)
		a.Wait = append(a.Wait, wait)
	}
	return a, nil
}

// Close implements [Store].
func (m *Memory) Close() error { return nil }

// checkCall returns the error of invalid arguments or of a context that has ended.
func checkCall(ctx context.Context, args error) error {
	if args != nil {
		return args
	}
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	return nil
}

// expiryQueue is a heap. The first entry expires next.
type expiryQueue []*entry

func (q expiryQueue) Len() int           { return len(q) }
func (q expiryQueue) Less(i, j int) bool { return q[i].expires.Before(q[j].expires) }
func (q expiryQueue) Swap(i, j int) {
	q[i], q[j] = q[j], q[i]
	q[i].index, q[j].index = i, j
}
func (q *expiryQueue) Push(x any) {
	e := x.(*entry)
	e.index = len(*q)
	*q = append(*q, e)
}
func (q *expiryQueue) Pop() any {
	e := (*q)[len(*q)-1]
	(*q)[len(*q)-1] = nil
	*q = (*q)[:len(*q)-1]
	return e
}
