package main

import (
	"net"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestStaleSocketIsReplaced(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	crashed, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	require.NoError(t, err)
	crashed.SetUnlinkOnClose(false)

	_, err = listen("unix", path)
	require.Error(t, err, "it is in use")
	require.NoError(t, crashed.Close())
	require.FileExists(t, path)

	l, err := listen("unix", path)
	require.NoError(t, err)
	c, err := net.Dial("unix", path)
	require.NoError(t, err)
	c.Close()
	require.NoError(t, l.Close())
}

func TestAFileThatIsNoSocketStays(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	require.NoError(t, os.WriteFile(path, []byte("mail"), 0o600))
	_, err := listen("unix", path)
	require.Error(t, err)
	b, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, "mail", string(b))
}
