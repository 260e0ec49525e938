//go:build unix

package proxyproto_test

import (
	"io"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-94e48765/portico/proxyproto"
)

// A server that refuses the rest of a request answers and closes, and its system sends a
// reset. The session of ExampleForward forwards the answer before it resets the client.
func TestExampleOfForwardPassesOnTheLastAnswer(t *testing.T) {
	client, conn := accepted(t, proxyproto.Config{}, "DATA")
	backend, server := socketPair(t)
	session := &relayed{client: conn, server: backend}

	_, err := io.WriteString(server, "552 too large")
	require.NoError(t, err)
	_, err = io.WriteString(backend, "MAIL")
	require.NoError(t, err)
	_, err = io.ReadFull(server, make([]byte, 2)) // the rest is not read
	require.NoError(t, err)
	require.NoError(t, server.Close())
	require.Eventually(t, func() bool { _, err := backend.Write(nil); return err != nil }, 10*time.Second, time.Millisecond)

	session.forward(backend, conn) // fails to write DATA
	require.True(t, session.failed.Load())
	session.forward(conn, backend)
	session.close()
	got, err := io.ReadAll(client)
	require.Equal(t, "552 too large", string(got))
	require.ErrorIs(t, err, errReset, "the client must not take it for the end")
}
