//go:build unix

package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/seed-94e48765/portico/examples/internal/nodes"
)

// A balancer sends each request to the next node that is ready.
type balancer struct {
	mu    sync.Mutex
	nodes [3]*node
	ready [3]bool
	next  int
	used  [3]int // requests
}

// do tries the next node if a connection fails, as proxies do.
func (b *balancer) do(r *http.Request, client string) (*http.Response, error) {
	var err error
	for range len(b.nodes) {
		b.mu.Lock()
		i := b.next
		for range b.nodes {
			b.next = (b.next + 1) % len(b.nodes)
			if i = b.next; b.ready[i] {
				break
			}
		}
		n := b.nodes[i]
		b.used[i]++
		b.mu.Unlock()
		if r.GetBody != nil {
			if r.Body, err = r.GetBody(); err != nil {
				return nil, err
			}
		}
		var answer *http.Response
		answer, err = n.do(r, client)
		var op *net.OpError
		if err == nil || !isDial(err, &op) {
			return answer, err
		}
	}
	return nil, err
}

// check repeatedly checks the readiness of every node.
func (b *balancer) check(ctx context.Context) {
	for ctx.Err() == nil {
		for i := range b.nodes {
			b.mu.Lock()
			n := b.nodes[i]
			b.mu.Unlock()
			ready := n.ready(ctx)
			b.mu.Lock()
			if b.nodes[i] == n {
				b.ready[i] = ready
			}
			b.mu.Unlock()
		}
		time.Sleep(100 * time.Millisecond)
	}
}

// signIn counts sign-ins whose steps go to different nodes.
func (b *bench) signIn(ctx context.Context) ([]row, error) {
	c, err := b.start(ctx)
	if err != nil {
		return nil, err
	}
	defer c.close()
	lb := &balancer{nodes: c.all, ready: [3]bool{true, true, true}}
	var rows []row
	if ok, first := b.signInMany(ctx, lb, func(i int) bool { return i < 1 }); ok == 0 { // makes the signing key
		return nil, first
	}
	before, keysBefore, err := c.values(ctx)
	if err != nil {
		return nil, err
	}
	ok, first := b.signInMany(ctx, lb, func(i int) bool { return i < b.signIns })
	rows = append(rows, row{"sign-ins, each step at the next node", fmt.Sprintf("%d of %d", b.signIns, b.signIns), fmt.Sprintf("%d of %d", ok, b.signIns)})
	if first != nil {
		return rows, first
	}
	after, keysAfter, err := c.values(ctx)
	if err != nil {
		return rows, err
	}
	rows = append(rows, row{fmt.Sprintf("bytes of the store for each of them, with its tokens, in %.1f keys", float64(keysAfter-keysBefore)/float64(b.signIns)), "printed",
		fmt.Sprint((after - before) / int64(b.signIns))})

	ctx, cancel := context.WithCancel(ctx)
	var all sync.WaitGroup
	var restarts atomic.Int32
	var restartErr error
	all.Go(func() { lb.check(ctx) })
	all.Go(func() {
		for i := 0; ctx.Err() == nil && restartErr == nil; i = (i + 1) % 3 {
			var n *node
			if restartErr = c.all[i].terminate(); restartErr != nil {
				return
			}
			if n, restartErr = b.startNode(context.WithoutCancel(ctx), c.store.URL()); restartErr != nil {
				return
			}
			c.all[i] = n
			lb.mu.Lock()
			lb.nodes[i], lb.ready[i] = n, true
			lb.mu.Unlock()
			restarts.Add(1)
		}
	})
	done := 0
	ok, first = b.signInMany(ctx, lb, func(i int) bool { done = i; return i < b.signIns || restarts.Load() < 3 && restartErr == nil })
	cancel()
	all.Wait()
	if restartErr != nil {
		return rows, restartErr
	}
	return append(rows, row{fmt.Sprintf("the same, while %d nodes restart one after the other", restarts.Load()), fmt.Sprintf("%d of %d", done, done), fmt.Sprintf("%d of %d", ok, done)}), first
}

// signInMany signs in as long as more is true, and returns how often that worked, and the
// first error.
func (b *bench) signInMany(ctx context.Context, lb *balancer, more func(i int) bool) (ok int, first error) {
	for i := 0; more(i); i++ {
		client := randomClient()
		s := nodes.SignIn{Base: base, User: account, Password: password, Do: func(_ int, r *http.Request) (*http.Response, error) {
			return lb.do(r, client)
		}}
		if err := s.Run(ctx); err == nil {
			ok++
		} else if first == nil {
			first = fmt.Errorf("sign-in %d: %w", i+1, err)
		}
	}
	return ok, first
}
