package store

import (
	"bytes"
	"context"
	"sync"
)

// maxQueue is the maximum number of messages that wait for a subscriber. A subscriber that is further
// behind gets nil, which reports missed messages.
const maxQueue = 64

type subscription struct {
	mu     sync.Mutex
	queue  [][]byte
	missed bool
	wake   chan struct{} // has a buffer of one
}

// Publish implements [Store].
func (m *Memory) Publish(ctx context.Context, topic string, message []byte) error {
	if err := checkCall(ctx, checkValue(topic, message, 0)); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for s := range m.topics[topic] {
		s.push(bytes.Clone(message))
	}
	return nil
}

// Subscribe implements [Store].
func (m *Memory) Subscribe(ctx context.Context, topic string, receive func([]byte)) error {
	if err := checkCall(ctx, checkName(topic)); err != nil {
		return err
	}
	s := &subscription{missed: true, wake: make(chan struct{}, 1)}
	s.wake <- struct{}{}
	m.mu.Lock()
	if m.topics[topic] == nil {
		m.topics[topic] = make(map[*subscription]struct{})
	}
	m.topics[topic][s] = struct{}{}
	m.mu.Unlock()
	defer func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		delete(m.topics[topic], s)
	}()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-s.wake:
		}
		queue, missed := s.take()
		if missed {
			receive(nil)
		}
		for _, message := range queue {
			receive(message)
		}
	}
}

// push adds a message. It never blocks.
func (s *subscription) push(message []byte) {
	s.mu.Lock()
	if len(s.queue) == maxQueue {
		s.queue, s.missed = nil, true
	}
	s.queue = append(s.queue, message)
	s.mu.Unlock()
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

func (s *subscription) take() (queue [][]byte, missed bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	queue, missed = s.queue, s.missed
	s.queue, s.missed = nil, false
	return queue, missed
}
