package main

import (
	"bytes"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed-94e48765/portico/examples/recipes/internal/recipetest"
	"github.com/seed-94e48765/portico/proxyproto"
)

func TestBothFormatsCount(t *testing.T) {
	addrs := recipetest.Start(t, run, "-trusted", "127.0.0.1", "-addr", "127.0.0.1:0", "-metrics", "127.0.0.1:0")
	log := recipetest.CaptureLog(t)
	for range 2 {
		greeting, err := io.ReadAll(recipetest.Dial(t, addrs[0], recipetest.Header(nil)))
		require.NoError(t, err)
		require.Equal(t, "hello 203.0.113.7:50000\r\n", string(greeting))
	}
	_, err := io.ReadAll(recipetest.Dial(t, addrs[0], proxyproto.Header{Local: true}))
	require.NoError(t, err)
	noHeader, err := net.Dial("tcp", addrs[0])
	require.NoError(t, err)
	defer noHeader.Close()
	_, err = io.WriteString(noHeader, "EHLO client.example\r\n")
	require.NoError(t, err)
	_, _ = io.ReadAll(noHeader) // until the listener closes it
	log.Await(t, "-trusted")

	var vars struct{ Proxyproto map[string]proxyproto.Stats }
	require.NoError(t, json.Unmarshal([]byte(get(t, "http://"+addrs[1]+"/debug/vars")), &vars))
	require.Equal(t, map[string]proxyproto.Stats{"smtp": {Proxied: 2, Local: 1, NoHeader: 1}}, vars.Proxyproto)

	text := get(t, "http://"+addrs[1]+"/metrics")
	for _, line := range []string{
		"# TYPE proxyproto_proxied_total counter", `proxyproto_proxied_total{listener="smtp"} 2`, `proxyproto_local_total{listener="smtp"} 1`,
		`proxyproto_no_header_total{listener="smtp"} 1`, `proxyproto_malformed_total{listener="smtp"} 0`, "# TYPE proxyproto_pending gauge",
	} {
		require.Contains(t, text, line+"\n")
	}
}

// Every field of Stats is written once, with its own value and in the text format.
func TestEveryCounterIsAMetric(t *testing.T) {
	var stats proxyproto.Stats
	fields := reflect.ValueOf(&stats).Elem()
	want := map[string]string{}
	for i := range fields.NumField() {
		name := strings.ToLower(regexp.MustCompile(`([a-z])([A-Z])`).ReplaceAllString(fields.Type().Field(i).Name, "${1}_$2"))
		if f := fields.Field(i); f.CanUint() {
			f.SetUint(uint64(i + 1))
			want["proxyproto_"+name+"_total"] = "counter"
		} else {
			f.SetInt(int64(i + 1))
			want["proxyproto_"+name] = "gauge"
		}
	}
	var text bytes.Buffer
	writeMetrics(&text, map[string]proxyproto.Stats{"imap": stats})
	block := regexp.MustCompile(`^# HELP ([a-z_]+) [A-Z][^\n]*\.\n# TYPE ([a-z_]+) (counter|gauge)\n([a-z_]+)\{listener="imap"\} ([0-9]+)\n`)
	got, values := map[string]string{}, map[string]bool{}
	for text.Len() > 0 {
		m := block.FindSubmatch(text.Bytes())
		require.NotNil(t, m, "%q", text.String())
		require.Equal(t, string(m[1]), string(m[2]))
		require.Equal(t, string(m[1]), string(m[4]))
		got[string(m[1])], values[string(m[5])] = string(m[3]), true
		text.Next(len(m[0]))
	}
	require.Equal(t, want, got)
	require.Len(t, values, fields.NumField(), "two metrics have the value of the same field")
}

func TestInvalidSettings(t *testing.T) {
	recipetest.RequireRefused(t, run, `-trusted "": use the addresses`)
	recipetest.RequireRefused(t, run, "99999", "-trusted", "127.0.0.1", "-addr", "127.0.0.1:0", "-metrics", "127.0.0.1:99999")
}

func get(t *testing.T, url string) string {
	t.Helper()
	response, err := http.Get(url)
	require.NoError(t, err)
	defer response.Body.Close()
	require.Equal(t, http.StatusOK, response.StatusCode)
	body, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	return string(body)
}
