package proxyproto

// A queue is a first-in, first-out list of connections that are ready. Its capacity grows to
// the highest length so far, at most Config.MaxPending.
type queue[C any] struct {
	ring []C
	head int
	n    int
}

func (q *queue[C]) len() int { return q.n }

func (q *queue[C]) push(c C) {
	if q.n == len(q.ring) {
		ring := make([]C, max(16, 2*q.n))
		for i := range q.n {
			ring[i] = q.ring[(q.head+i)%q.n]
		}
		q.ring, q.head = ring, 0
	}
	q.ring[(q.head+q.n)%len(q.ring)] = c
	q.n++
}

// pop returns the zero C when the queue is empty.
func (q *queue[C]) pop() C {
	var zero C
	if q.n == 0 {
		return zero
	}
	c := q.ring[q.head]
	q.ring[q.head] = zero
	q.head = (q.head + 1) % len(q.ring)
	q.n--
	return c
}
