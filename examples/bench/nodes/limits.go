//go:build unix

package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// isDial reports whether a connection failed, so that nothing was sent.
func isDial(err error, op **net.OpError) bool {
	return errors.As(err, op) && (*op).Op == "dial"
}

// The limits of mailfront that the nodes share: guard.DefaultLimits.
const (
	guesses      = 10 // wrong passwords; the last one is the ban
	requests     = 5000
	requestEvery = 2 * time.Millisecond
)

// wrongUser returns an account that is used once, because wrong passwords for one account
// have a separate limit.
func wrongUser(client string) string { return "user-" + client + "@example.test" }

// limits sends wrong passwords of one client to all nodes at once, and then requests of
// another client.
func (b *bench) limits(ctx context.Context) ([]row, error) {
	c, err := b.start(ctx)
	if err != nil {
		return nil, err
	}
	defer c.close()
	const tries = 20
	worst := 0.0
	refused := 0
	for range tries {
		before, err := c.compared(ctx)
		if err != nil {
			return nil, err
		}
		client := randomClient()
		_, err = c.flood(8, guesses, func(n *node) (int, error) {
			return n.logIn(ctx, client, wrongUser(client), "a wrong password")
		})
		if err != nil {
			return nil, err
		}
		after, err := c.compared(ctx)
		if err != nil {
			return nil, err
		}
		worst = max(worst, after-before-guesses)
		for _, n := range c.all {
			status, err := n.logIn(ctx, client, account, password)
			if err != nil {
				return nil, err
			}
			if status == http.StatusTooManyRequests {
				refused++
			}
		}
	}
	rows := []row{
		{fmt.Sprintf("wrong passwords compared beyond the %d that are allowed, 24 at once at 3 nodes: most of %d tries", guesses, tries), "3 or less", fmt.Sprint(worst)},
		{"then the right password of that client is refused: nodes", fmt.Sprintf("%d of %d", 3*tries, 3*tries), fmt.Sprintf("%d of %d", refused, 3*tries)},
	}

	began := time.Now()
	client := randomClient()
	accepted, err := c.flood(8, requests/4, func(n *node) (int, error) { return n.request(ctx, client) })
	if err != nil {
		return rows, err
	}
	took := time.Since(began)
	allowed := requests + int(took/requestEvery)
	alone := ""
	if n := c.alone(); n > 0 {
		alone = fmt.Sprintf(" (the store did not answer within 50 ms, and a node decided alone: %d times)", n)
	}
	return append(rows, row{fmt.Sprintf("requests of one client accepted beyond the %d that are allowed in %v, of %d at 3 nodes", allowed, took.Round(10*time.Millisecond), 3*8*requests/4),
		"3 or less", fmt.Sprint(max(0, accepted-allowed)) + alone}), nil
}

// compared returns the number of wrong passwords that were compared, on all nodes.
func (c *cluster) compared(ctx context.Context) (sum float64, err error) {
	for _, n := range c.all {
		v, err := n.metric(ctx, "mailfront_wrong_logins_total")
		if err != nil {
			return 0, err
		}
		sum += v
	}
	return sum, nil
}

// alone returns how often the store did not answer in time, so that a node used its own limits.
func (c *cluster) alone() (sum int) {
	for _, n := range c.all {
		n.log.mu.Lock()
		sum += n.log.alone
		n.log.mu.Unlock()
	}
	return sum
}

// flood sends requests from parallel workers to every node, and returns how many were
// accepted.
func (c *cluster) flood(parallel, each int, send func(n *node) (status int, err error)) (int, error) {
	var accepted atomic.Int64
	var all sync.WaitGroup
	errs := make(chan error, len(c.all)*parallel)
	for _, n := range c.all {
		for range parallel {
			all.Go(func() {
				for range each {
					status, err := send(n)
					if err != nil {
						errs <- err
						return
					}
					if status == http.StatusOK {
						accepted.Add(1)
					}
				}
			})
		}
	}
	all.Wait()
	close(errs)
	return int(accepted.Load()), <-errs
}
