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

// send makes the calls once. A server that does not have the script has executed none of them:
// it gets the script, and the calls are sent again.
func (b *batcher) send(batch []admissionCall) {
	ctx, cancel := context.WithTimeout(context.Background(), ioTimeout)
	defer cancel()
	missing := b.execute(ctx, batch, false)
	if len(missing) > 0 {
		_ = admitScript.Load(ctx, b.client) // if it fails, so does the next line
		b.execute(ctx, missing, true)
	}
}

// execute sends the calls in one write, and answers them. Calls that the server did not execute
// because it lacks the script are returned, or answered with that error if it is the last try.
func (b *batcher) execute(ctx context.Context, batch []admissionCall, last bool) (missing []admissionCall) {
	commands := make([]*redis.Cmd, len(batch))
	_, _ = b.client.Pipelined(ctx, func(p redis.Pipeliner) error { // each command has its own error
		for i, c := range batch {
			commands[i] = admitScript.EvalSha(ctx, p, c.keys, c.args...)
		}
		return nil
	})
	for i, c := range batch {
		if !last && redis.HasErrorPrefix(commands[i].Err(), "NOSCRIPT") {
			missing = append(missing, c)
			continue
		}
		c.answer <- commands[i]
	}
	return missing
}
