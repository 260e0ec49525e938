package main

import (
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/require"

	"github.com/seed-94e48765/portico/examples/mailfront/internal/client"
)

func TestMessagesShareABudgetAndGiveItBack(t *testing.T) {
	b := newBudget(4 * firstRead * copiesOfMessage)
	data, release, err := b.readAll(iotest.OneByteReader(strings.NewReader(strings.Repeat("x", firstRead))))
	require.NoError(t, err)
	require.Len(t, data, firstRead)
	first := b.inUse()
	require.EqualValues(t, 2*firstRead*copiesOfMessage, first, "room for the next byte was needed")

	_, full, err := b.readAll(strings.NewReader(strings.Repeat("x", 2*firstRead)))
	require.ErrorIs(t, err, errNoMemory)
	full()
	_, broken, err := b.readAll(iotest.ErrReader(io.ErrUnexpectedEOF))
	require.ErrorIs(t, err, io.ErrUnexpectedEOF)
	broken()
	require.Equal(t, first, b.inUse())
	release()
	release()
	require.Zero(t, b.inUse())
}

func TestMailThatDoesNotFitTheBudgetIsPutOffAndNothingStaysTaken(t *testing.T) {
	f := startWith(t, nil, func(f *frontend) { f.guard.memory.size = 3*firstRead*copiesOfMessage - 1 })
	s := ehlo(t, f.connect(directIP, "smtp"))
	for _, size := range []int{100, firstRead + 1, 100} {
		s.smtp("MAIL FROM:<a@elsewhere.test>")
		s.smtp("RCPT TO:<demo@example.test>")
		s.smtp("DATA")
		want := "^250 "
		if size > firstRead {
			want = "^452 4.3.1 "
		}
		require.Regexp(t, want, s.smtp("%s.", strings.Repeat(strings.Repeat("x", 48)+"\r\n", size/50+1)))
		require.Zero(t, f.guard.counted().MemoryInUse)
	}
	require.Len(t, f.mail.messages(), 2)
}

func TestAMessageThatBreaksOffGivesItsMemoryBack(t *testing.T) {
	f := startWith(t, nil, nil)
	s := ehlo(t, f.connect(directIP, "smtp"))
	s.smtp("MAIL FROM:<a@elsewhere.test>")
	s.smtp("RCPT TO:<demo@example.test>")
	s.smtp("DATA")
	s.send("Subject: x\r\n")
	s.Close()
	require.NoError(t, f.frontend.shutdown(testTimeout))
	require.Zero(t, f.guard.counted().MemoryInUse)
}

func TestOneClientHasAShareOfTheMemoryAndLeavesTheRest(t *testing.T) {
	limits := defaultLimits
	limits.memory, limits.share = 8*firstRead*copiesOfMessage, 2*firstRead*copiesOfMessage
	g, _ := testGuard(limits)
	one, other := behind("192.0.2.1", "198.51.100.7"), behind("192.0.2.1", "198.51.100.8")
	read := func(cl client.Client) (func(), error) {
		_, release, err := g.receive(cl, strings.NewReader("x"))
		return release, err
	}
	first, err := read(one)
	require.NoError(t, err)
	second, err := read(one)
	require.NoError(t, err)
	third, err := read(one)
	require.ErrorIs(t, err, errNoMemory)
	theirs, err := read(other)
	require.NoError(t, err, "another client is not affected")
	for _, release := range []func(){first, second, third, theirs, first} {
		release()
	}
	require.Zero(t, g.counted().MemoryInUse)
	require.Empty(t, g.share)
}
