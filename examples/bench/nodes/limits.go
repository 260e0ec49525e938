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

// The limits of mailfront: guard.DefaultLimits.
const (
	guesses    = 10 // wrong passwords; the last one is the ban
	logins     = 200
	loginEvery = 100 * time.Millisecond
)

// limits sends wrong passwords of one client to all nodes at once, and then right ones of
// another client.
func (b *bench) limits(ctx context.Context) ([]row, error) {
	c, err := b.start(ctx)
	if err != nil {
		return nil, err
	}
	defer c.close()
	const tries = 20
	worst := 0.0
	banned := true
	for range tries {
		before, err := c.compared(ctx)
		if err != nil {
			return nil, err
		}
		client := randomClient()
		if _, err := c.flood(ctx, 8, guesses, client, "a wrong password"); err != nil {
			return nil, err
		}
		after, err := c.compared(ctx)
		if err != nil {
			return nil, err
		}
		worst = max(worst, after-before-guesses)
		for _, n := range c.all {
			status, err := n.logIn(ctx, client, password)
			if err != nil {
				return nil, err
			}
			banned = banned && status == http.StatusTooManyRequests
		}
	}
	rows := []row{{fmt.Sprintf("wrong passwords compared over the limit of %d: at most in %d tries, 24 at once at 3 nodes", guesses, tries), "3 or less", fmt.Sprint(worst)}}
	rows = append(rows, row{"the right password of a banned client is refused at every node", "true", fmt.Sprint(banned)})

	began := time.Now()
	accepted, err := c.flood(ctx, 4, logins/4, randomClient(), password)
	if err != nil {
		return rows, err
	}
	most := logins + int(time.Since(began)/loginEvery) + 1
	rows = append(rows, row{fmt.Sprintf("logins of one client accepted, of %d at 3 nodes in %v", 3*logins, time.Since(began).Round(10*time.Millisecond)),
		fmt.Sprintf("%d or less", most+3), fmt.Sprint(accepted)})
	return rows, nil
}

// compared is the number of wrong passwords that were compared, on all nodes.
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

// flood sends logins of one client to every node, from parallel workers for each node, and
// returns how many were accepted.
func (c *cluster) flood(ctx context.Context, parallel, each int, client, password string) (int, error) {
	var accepted atomic.Int64
	var all sync.WaitGroup
	errs := make(chan error, len(c.all)*parallel)
	for _, n := range c.all {
		for range parallel {
			all.Go(func() {
				for range each {
					status, err := n.logIn(ctx, client, password)
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
