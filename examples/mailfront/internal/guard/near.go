package guard

import (
	"cmp"
	"net/netip"
	"slices"
)

// A Usage describes how much of a limit a client has left.
type Usage struct {
	Address netip.Prefix
	Action  Action
	Left    int // number of actions that are still allowed now
	Burst   int
}

// NearLimits returns at most n limits of clients of which half or less is left, least first. They are
// the limits of this node.
func (g *Guard) NearLimits(n int) (list []Usage) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, who := range g.clients.Keys() {
		of, _ := g.clients.Peek(who)
		for a, l := range of {
			if l == nil {
				continue
			}
			if left := max(0, l.left()); left <= l.Burst()/2 {
				list = append(list, Usage{Address: who, Action: Action(a), Left: left, Burst: l.Burst()})
			}
		}
	}
	slices.SortStableFunc(list, func(a, b Usage) int { return cmp.Compare(a.Left*b.Burst, b.Left*a.Burst) })
	return list[:min(n, len(list))]
}

// String returns the action as text.
func (a Action) String() string {
	switch a {
	case Connecting:
		return "connections"
	case LoggingIn, LoggingInElsewhere:
		return "sign-ins"
	case Sending:
		return "messages"
	case Requesting:
		return "requests"
	}
	return "wrong passwords"
}
