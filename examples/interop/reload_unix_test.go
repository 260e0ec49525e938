//go:build unix

package interop

import (
	"bufio"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// After a reload the old process of HAProxy and the old workers of NGINX serve the clients
// that they have. Mail clients stay for days.
func TestOldProcessEndsAfterReload(t *testing.T) {
	for _, c := range []struct {
		httpProxy
		files  string
		signal syscall.Signal // what a reload sends to the old process
		limit  change
	}{
		{httpProxy: httpProxies[0], files: "*.cfg", signal: syscall.SIGUSR1, limit: change{"\n    hard-stop-after 10m", "\n    hard-stop-after 1s"}},
		{httpProxy: httpProxies[1], files: "*.conf", signal: syscall.SIGQUIT, limit: change{"\nworker_shutdown_timeout 10m;", "\nworker_shutdown_timeout 1s;"}},
	} {
		t.Run(c.product, func(t *testing.T) {
			p := c.startTCP(t, startMailfront(t), "passthrough"+c.suffix, nil, c.limit)
			client := p.client("imap")(t)
			greeting, err := bufio.NewReader(client).ReadString('\n')
			require.NoError(t, err)
			require.Contains(t, greeting, "* OK ")
			require.NoError(t, p.cmd.Process.Signal(c.signal))
			select {
			case <-p.ended:
			case <-time.After(timeout):
				require.Fail(t, "the old process does not end while a client stays")
			}

			// The other files have the same line.
			files, err := filepath.Glob(filepath.Join("..", "proxies", c.product, c.files))
			require.NoError(t, err)
			require.NotEmpty(t, files)
			for _, file := range files {
				text := readConfiguration(t, c.product, filepath.Base(file), nil)
				require.Equal(t, 1, strings.Count(text, c.limit.old), file)
			}
		})
	}
}
