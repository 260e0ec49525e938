//go:build unix

package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/seed-94e48765/portico/examples/bench/internal/measure"
)

// A counter passes the connections of a node on to the store and counts round trips. A write
// of the node is a round trip if it is the first or follows an answer.
type counter struct {
	listener net.Listener
	dir      string
	trips    atomic.Int64
}

func newCounter(storeURL string) (*counter, error) {
	dir, err := os.MkdirTemp("", "count")
	if err != nil {
		return nil, err
	}
	l, err := net.Listen("unix", filepath.Join(dir, "s"))
	if err != nil {
		os.RemoveAll(dir)
		return nil, err
	}
	c := &counter{listener: l, dir: dir}
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go c.pass(conn, strings.TrimPrefix(storeURL, "unix://"))
		}
	}()
	return c, nil
}

func (c *counter) url() string { return "unix://" + c.listener.Addr().String() }

func (c *counter) close() {
	c.listener.Close()
	os.RemoveAll(c.dir)
}

func (c *counter) pass(node net.Conn, to string) {
	defer node.Close()
	store, err := net.Dial("unix", to)
	if err != nil {
		return
	}
	defer store.Close()
	var answered atomic.Bool
	answered.Store(true)
	go func() {
		defer node.Close()
		b := make([]byte, 64<<10)
		for {
			k, err := store.Read(b)
			if err != nil {
				return
			}
			answered.Store(true)
			if _, err := node.Write(b[:k]); err != nil {
				return
			}
		}
	}()
	b := make([]byte, 64<<10)
	for {
		k, err := node.Read(b)
		if err != nil {
			return
		}
		if answered.Swap(false) {
			c.trips.Add(1)
		}
		if _, err := store.Write(b[:k]); err != nil {
			return
		}
	}
}

// traffic counts the round trips of mail connections, without those of an idle node.
func (b *bench) traffic(ctx context.Context) ([]row, error) {
	c, err := b.start(ctx)
	if err != nil {
		return nil, err
	}
	defer c.close()
	count, err := newCounter(c.store.URL())
	if err != nil {
		return nil, err
	}
	defer count.close()
	n, err := b.startNode(ctx, count.url())
	if err != nil {
		return nil, err
	}
	defer n.kill()
	var rows []row
	for _, kind := range []struct {
		what   string
		script script
	}{
		{"round trips to the store for an SMTP session that ends after EHLO", greeted},
		{"the same, with MAIL and RCPT", asked},
		{"the same, for a submission with password and message", submitted},
	} {
		const sessions = 1000
		if err := many(ctx, n, kind.script.clients, kind.script); err != nil { // opens the connections to the store
			return rows, err
		}
		time.Sleep(500 * time.Millisecond)
		idle, began := count.trips.Load(), time.Now()
		time.Sleep(3 * time.Second)
		perSecond := float64(count.trips.Load()-idle) / time.Since(began).Seconds()
		before, began := count.trips.Load(), time.Now()
		if err := many(ctx, n, sessions, kind.script); err != nil {
			return rows, err
		}
		trips := float64(count.trips.Load()-before) - perSecond*time.Since(began).Seconds()
		rows = append(rows, row{kind.what, "1 or less", fmt.Sprintf("%.2f (and %.1f a second while idle)", trips/sessions, perSecond)})
	}
	return rows, nil
}

// many runs sessions, eight at a time.
func many(ctx context.Context, n *node, sessions int, s script) error {
	var all sync.WaitGroup
	var next atomic.Int64
	errs := make(chan error, 8)
	for range cap(errs) {
		all.Go(func() {
			for i := next.Add(1); i <= int64(sessions); i = next.Add(1) {
				client := net.IPv4(100, 65, byte(int(i)%s.clients>>8), byte(int(i)%s.clients)).String()
				if err := n.run(ctx, s, client); err != nil {
					errs <- err
					return
				}
			}
		})
	}
	all.Wait()
	close(errs)
	return <-errs
}

// rate compares SMTP sessions per second, in turns.
func (b *bench) rate(ctx context.Context) ([]row, error) {
	c, err := b.start(ctx)
	if err != nil {
		return nil, err
	}
	defer c.close()
	memory, err := b.startNode(ctx, "")
	if err != nil {
		return nil, err
	}
	defer memory.kill()
	var rows []row
	for _, kind := range []struct {
		what, want string
		script     script
	}{
		{"submissions with password and message", "0.80 or more", submitted},
		{"SMTP sessions that end after RCPT", "printed", asked},
	} {
		const sessions = 500 // × rounds / clients is below the limit of logins
		perSecond := func(n *node, used *float64) (float64, error) {
			pids := []int{os.Getpid(), n.cmd.Process.Pid, c.store.Process().Pid}
			before, began := processorTime(pids...), time.Now()
			err := many(ctx, n, sessions, kind.script)
			*used += processorTime(pids...) - before
			return sessions / time.Since(began).Seconds(), err
		}
		var shared, alone, ratios []float64
		var usedShared, usedAlone float64
		for i := range b.rounds + 1 {
			var s, m float64
			var err, err2 error
			if i == 1 {
				usedShared, usedAlone = 0, 0 // the first round warms up
			}
			if i%2 == 0 { // neither is always the second
				s, err = perSecond(c.all[0], &usedShared)
				m, err2 = perSecond(memory, &usedAlone)
			} else {
				m, err2 = perSecond(memory, &usedAlone)
				s, err = perSecond(c.all[0], &usedShared)
			}
			if err := errors.Join(err, err2); err != nil {
				return rows, err
			}
			if i > 0 {
				shared, alone, ratios = append(shared, s), append(alone, m), append(ratios, s/m)
			}
		}
		rows = append(rows, row{kind.what + ": rate, × that of the memory store", kind.want,
			fmt.Sprintf("%.2f (%.2f–%.2f; %.0f and %.0f a second; by processor time %.2f)", measure.Median(ratios), slices.Min(ratios), slices.Max(ratios), measure.Median(shared), measure.Median(alone), usedAlone/usedShared)})
	}
	return rows, nil
}

// buckets fills the store with one wrong password of each client, whose bucket needs a minute
// to refill.
func (b *bench) buckets(ctx context.Context) ([]row, error) {
	c, err := b.start(ctx)
	if err != nil {
		return nil, err
	}
	defer c.close()
	used := func() (memory, keys int64, err error) {
		if memory, err = c.memory(ctx); err != nil {
			return 0, 0, err
		}
		keys, err = c.buckets(ctx)
		return memory, keys, err
	}
	memory, _, err := used()
	if err != nil {
		return nil, err
	}
	const refill = time.Minute // of guard.DefaultLimits: a wrong password a minute
	var all sync.WaitGroup
	var next atomic.Int64
	errs := make(chan error, 16)
	for range cap(errs) {
		all.Go(func() {
			for i := next.Add(1); i <= int64(b.clients); i = next.Add(1) {
				client := net.IPv4(100, 64, byte(i>>8), byte(i)).String()
				if _, err := c.all[i%3].logIn(ctx, client, wrongUser(client), "a wrong password"); err != nil {
					errs <- err
					return
				}
			}
		})
	}
	all.Wait()
	close(errs)
	if err := <-errs; err != nil {
		return nil, err
	}
	filled := time.Now()
	full, many, err := used()
	if err != nil {
		return nil, err
	}
	if many < int64(b.clients) {
		return nil, fmt.Errorf("%d clients have %d keys; the first key expired before the last was added", b.clients, many)
	}
	rows := []row{{fmt.Sprintf("bytes of the store for each of %d clients in the bucket, in %.1f keys", b.clients, float64(many)/float64(b.clients)), "printed", fmt.Sprint((full - memory) / int64(b.clients))}}
	for {
		_, left, err := used()
		if err != nil {
			return rows, err
		}
		after := time.Since(filled) - refill
		if left == 0 || after > time.Minute {
			return append(rows, row{"keys of clients that are left one minute after the last expiry", "0",
				fmt.Sprintf("%d (%v after it)", left, after.Round(time.Second))}), nil
		}
		select {
		case <-ctx.Done():
			return rows, ctx.Err()
		case <-time.After(500 * time.Millisecond):
		}
	}
}
