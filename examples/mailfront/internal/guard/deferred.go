package guard

import (
	"context"
	"net/netip"
	"sync"
	"time"
)

const (
	// payDelay is the time between a connection and its charge in the store. A longer time allows more
	// charges in one call, and more connections of a client over the limit of all nodes.
	payDelay = 20 * time.Millisecond
	// payAtOnce is the number of clients that are charged concurrently.
	payAtOnce = 64
)

// isSuspect reports whether a connection of the client has to wait for the store: the client has sent
// wrong passwords to this node, or has used half of its limit for connections.
func (g *Guard) isSuspect(who netip.Prefix) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	of, ok := g.clients.Peek(who)
	if !ok {
		return false
	}
	connecting, guessing := of[Connecting], of[Guessing]
	return connecting != nil && connecting.left() <= connecting.Burst()/2 || guessing != nil && guessing.left() < guessing.Burst()
}

// chargeLater makes the deferred charges of the client after payDelay.
func (g *Guard) chargeLater(who netip.Prefix) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.unpaid) >= g.limits.Clients { // the limit of this node has been charged
		return
	}
	g.unpaid[who] = struct{}{}
	select {
	case g.wake <- struct{}{}:
	default:
	}
}

// payCharges makes the deferred charges until ctx ends, and then the remaining ones.
func (g *Guard) payCharges(ctx context.Context) {
	for ended := false; !ended; {
		select {
		case <-g.wake:
		case <-ctx.Done():
		}
		select {
		case <-time.After(payDelay):
		case <-ctx.Done():
		}
		ended = ctx.Err() != nil // before the last charges are taken
		g.pay(g.takeUnpaid())
	}
}

// takeUnpaid returns the clients with deferred charges, without those that another call has charged.
func (g *Guard) takeUnpaid() (clients []netip.Prefix) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for who := range g.unpaid {
		if of, ok := g.clients.Peek(who); ok && of[Connecting] != nil && of[Connecting].owed > 0 {
			clients = append(clients, who)
		}
	}
	clear(g.unpaid)
	return clients
}

// pay charges all clients and returns. While the store is not available, the charges remain deferred.
func (g *Guard) pay(clients []netip.Prefix) {
	var all sync.WaitGroup
	next := make(chan netip.Prefix)
	for range min(payAtOnce, len(clients)) {
		all.Go(func() {
			for who := range next {
				if answer, err := g.admission(who); err == nil && answer.Ban != nil {
					g.addRemoteBan(who, answer.Ban)
				}
			}
		})
	}
	for _, who := range clients {
		if g.isShared() {
			next <- who
		}
	}
	close(next)
	all.Wait()
}
