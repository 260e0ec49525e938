package proxyproto

// A queue is a first-in, first-out list of connections that are ready. It
// grows to the most that ever waited, at most Config.MaxPending.
type queue struct {
	ring []*Conn
	head int
	n    int
}

func (q *queue) len() int { return q.n }

func (q *queue) push(c *Conn) {
	if q.n == len(q.ring) {
		ring := make([]*Conn, max(16, 2*q.n))
		for i := range q.n {
			ring[i] = q.ring[(q.head+i)%q.n]
		}
		q.ring, q.head = ring, 0
	}
	q.ring[(q.head+q.n)%len(q.ring)] = c
	q.n++
}

// pop returns nil when the queue is empty.
func (q *queue) pop() *Conn {
	if q.n == 0 {
		return nil
	}
	c := q.ring[q.head]
	q.ring[q.head] = nil
	q.head = (q.head + 1) % len(q.ring)
	q.n--
	return c
}
