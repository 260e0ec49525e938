package guard

import (
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/require"

	"github.com/seed-94e48765/portico/examples/mailfront/internal/client"
)

func TestBudget(t *testing.T) {
	b := newBudget(4 * firstRead * copiesOfMessage)
	data, release, err := b.readAll(iotest.OneByteReader(strings.NewReader(strings.Repeat("x", firstRead))))
	require.NoError(t, err)
	require.Len(t, data, firstRead)
	first := b.inUse()
	require.EqualValues(t, 2*firstRead*copiesOfMessage, first, "room for the next byte was needed")

	_, full, err := b.readAll(strings.NewReader(strings.Repeat("x", 2*firstRead)))
	require.ErrorIs(t, err, ErrNoMemory)
	full()
	_, broken, err := b.readAll(iotest.ErrReader(io.ErrUnexpectedEOF))
	require.ErrorIs(t, err, io.ErrUnexpectedEOF)
	broken()
	require.Equal(t, first, b.inUse())
	release()
	release()
	require.Zero(t, b.inUse())
}

func TestBudgetShareOfOneClient(t *testing.T) {
	limits := DefaultLimits
	limits.Memory, limits.Share = 8*firstRead*copiesOfMessage, 2*firstRead*copiesOfMessage
	g, _ := testGuard(limits)
	one, other := behind("192.0.2.1", "198.51.100.7"), behind("192.0.2.1", "198.51.100.8")
	read := func(cl client.Client) (func(), error) {
		_, release, err := g.Receive(cl, strings.NewReader("x"))
		return release, err
	}
	first, err := read(one)
	require.NoError(t, err)
	second, err := read(one)
	require.NoError(t, err)
	third, err := read(one)
	require.ErrorIs(t, err, ErrNoMemory)
	theirs, err := read(other)
	require.NoError(t, err, "another client is not affected")
	for _, release := range []func(){first, second, third, theirs, first} {
		release()
	}
	require.Zero(t, g.Counts().MemoryInUse)
	require.Empty(t, g.share)
}
