package store

import (
	"context"
	"fmt"
	"sync"

	"github.com/redis/go-redis/v9"
)

// maxBatch is the maximum number of admissions that are sent at once, and maxWaiting is the
// maximum number of admissions that wait.
const (
	maxBatch   = 64
	maxWaiting = 4096
)

// An admissionCall has the arguments of the admission script and the channel for its answer.
type admissionCall struct {
	keys   []string
	args   []any
	answer chan *redis.Cmd // has a buffer of one
}

// A batcher sends the admissions that arrive while others are in transit together, so that a
// node with many clients needs few system calls. Each admission is still a separate script.
type batcher struct {
	client *redis.Client
	calls  chan admissionCall
	start  func() // runs once
	close  func() // runs once
	ended  chan struct{}
}

func newBatcher(client *redis.Client) *batcher {
	b := &batcher{client: client, calls: make(chan admissionCall, maxWaiting), ended: make(chan struct{})}
	b.start = sync.OnceFunc(func() { go b.run() })
	b.close = sync.OnceFunc(func() { close(b.ended) })
	return b
}

// call returns the answer of the server, or an error when ctx ends. The call may take effect
// after that.
func (b *batcher) call(ctx context.Context, keys []string, args []any) ([]any, error) {
	b.start()
	c := admissionCall{keys: keys, args: args, answer: make(chan *redis.Cmd, 1)}
	select {
	case b.calls <- c:
	default:
		return nil, fmt.Errorf("%w: %d admissions wait for it", ErrUnavailable, maxWaiting)
	}
	select {
	case cmd := <-c.answer:
		answer, err := cmd.Slice()
		return answer, unavailable(err)
	case <-ctx.Done():
		return nil, unavailable(ctx.Err())
	case <-b.ended:
		return nil, fmt.Errorf("%w: it is closed", ErrUnavailable)
	}
}

func (b *batcher) run() {
	var batch []admissionCall
	for {
		select {
		case c := <-b.calls:
			batch = append(batch[:0], c)
		case <-b.ended:
			return
		}
		for more := true; more && len(batch) < maxBatch; {
			select {
			case c := <-b.calls:
				batch = append(batch, c)
			default:
				more = false
			}
		}
		b.send(batch)
	}
}

// send makes the calls once. A server that does not have the script yet has not executed it, and
// gets its source.
func (b *batcher) send(batch []admissionCall) {
	ctx, cancel := context.WithTimeout(context.Background(), ioTimeout)
	defer cancel()
	commands := make([]*redis.Cmd, len(batch))
	_, _ = b.client.Pipelined(ctx, func(p redis.Pipeliner) error { // each command has its own error
		for i, c := range batch {
			commands[i] = admitScript.EvalSha(ctx, p, c.keys, c.args...)
		}
		return nil
	})
	for i, c := range batch {
		if redis.HasErrorPrefix(commands[i].Err(), "NOSCRIPT") {
			commands[i] = admitScript.Eval(ctx, b.client, c.keys, c.args...)
		}
		c.answer <- commands[i]
	}
}
