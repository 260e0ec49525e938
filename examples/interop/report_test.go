package interop

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"text/tabwriter"
)

// report is the table of everything that ran.
var report matrix

type matrix struct {
	mu   sync.Mutex
	rows []row
}

type row struct {
	product, file, header, way, client string
	talk                               talk
	failed                             bool
}

// add takes a row when its test has ended.
func (m *matrix) add(t *testing.T, r row) {
	t.Cleanup(func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		r.failed = t.Failed()
		m.rows = append(m.rows, r)
	})
}

// What cannot run, and why.
var impossible = [][2]string{
	{"nginx, version 2", "the stream module of open-source NGINX sends version 1 only"},
	{"nginx, TLS told", "version 1 has no word for TLS: MAILFRONT_TLS_TERMINATED says it, or nothing"},
	{"nginx, health checks", "open-source NGINX has no active ones"},
	{"haproxy or nginx, STARTTLS ended at the proxy", "neither speaks it: TLS on plain doors ends at the server"},
	{"haproxy, version 1 with TLS told", "version 1 has no word for TLS"},
}

func (m *matrix) print(w io.Writer) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.rows) == 0 {
		return
	}
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(tw, "\nPROXY\tCONFIGURATION\tHEADER\tWAY\tCLIENT\tSEEN AS\tTLS SEEN\tPASSWORDS\t")
	for _, r := range m.rows {
		tls := fmt.Sprint(r.talk.want.TLS)
		if r.talk.offer == afterStartTLS {
			tls += ", then true"
		}
		if r.talk.offer == "" {
			r.talk.offer = "-"
		}
		outcome := "ok"
		if r.failed {
			outcome = "FAILED"
		}
		fmt.Fprintln(tw, strings.Join([]string{
			r.product, r.file, r.header, r.way, r.client, r.talk.want.ClientIP, tls, string(r.talk.offer), outcome,
		}, "\t"))
	}
	tw.Flush()
	fmt.Fprintf(w, "%d ways ran. These cannot exist:\n", len(m.rows))
	for _, i := range impossible {
		fmt.Fprintf(w, "  %s: %s\n", i[0], i[1])
	}
}
