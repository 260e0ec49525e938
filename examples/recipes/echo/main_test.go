package main

import (
	"errors"
	"io"
	"net"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed-94e48765/portico/examples/recipes/internal/recipetest"
	"github.com/seed-94e48765/portico/proxyproto"
)

func TestEcho(t *testing.T) {
	addr := recipetest.Start(t, run, "-trusted", "127.0.0.1", "-addr", "127.0.0.1:0")[0]
	log := recipetest.CaptureLog(t)
	conn := recipetest.Dial(t, addr, recipetest.Header(nil))
	text := strings.Repeat("hello ", 100_000)
	sent := make(chan error, 1)
	go func() {
		_, err := io.WriteString(conn, text)
		sent <- errors.Join(err, conn.(interface{ CloseWrite() error }).CloseWrite())
	}()
	got, err := io.ReadAll(conn) // until the server's CloseWrite
	require.NoError(t, err)
	require.NoError(t, <-sent)
	require.Equal(t, text, string(got))
	require.Empty(t, log.String())
}

// The package comment describes this.
func TestConnIsNotTCPConn(t *testing.T) {
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	l, err := proxyproto.New(inner, proxyproto.Config{})
	require.NoError(t, err)
	defer l.Close()
	client, err := net.Dial("tcp", l.Addr().String())
	require.NoError(t, err)
	defer client.Close()
	conn, err := l.Accept()
	require.NoError(t, err)
	defer conn.Close()
	_, ok := conn.(*net.TCPConn)
	require.False(t, ok)
	_, ok = conn.(*proxyproto.Conn).NetConn().(*net.TCPConn)
	require.True(t, ok)
}

func TestInvalidSettings(t *testing.T) {
	recipetest.RequireRefused(t, run, `-trusted "": use the addresses`)
	recipetest.RequireRefused(t, run, "99999", "-trusted", "127.0.0.1", "-addr", "127.0.0.1:99999")
}
