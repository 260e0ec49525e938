package interop

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	cdplog "github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"
)

// A chromium is a window of a real browser, without a screen.
type chromium struct {
	t   *testing.T
	ctx context.Context

	mu       sync.Mutex
	problems []string // of the console
}

func chromiumBinary(t *testing.T) string {
	t.Helper()
	return binary(t, "chromium", "PORTICO_CHROMIUM", "apt-get install chromium")
}

// startChromium starts a browser that resolves serverName to a door of a proxy and trusts the
// proxy's certificate.
func startChromium(t *testing.T, address string) *chromium {
	t.Helper()
	path := chromiumBinary(t)
	b, err := os.ReadFile(testCertificates(t).proxyCert)
	require.NoError(t, err)
	block, _ := pem.Decode(b)
	require.NotNil(t, block)
	cert, err := x509.ParseCertificate(block.Bytes)
	require.NoError(t, err)
	key := sha256.Sum256(cert.RawSubjectPublicKeyInfo)

	options := append([]chromedp.ExecAllocatorOption{}, chromedp.DefaultExecAllocatorOptions[:]...)
	options = append(options,
		chromedp.ExecPath(path),
		chromedp.NoSandbox, // root cannot have a sandbox; only our own pages are opened
		chromedp.Flag("no-proxy-server", true),
		chromedp.Flag("host-resolver-rules", "MAP "+serverName+" "+address+", MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"),
		chromedp.Flag("ignore-certificate-errors-spki-list", base64.StdEncoding.EncodeToString(key[:])),
		chromedp.WindowSize(1000, 900),
		chromedp.Env("TMPDIR="+shared), // Chromium leaves a directory there
	)
	ctx, cancelAllocator := chromedp.NewExecAllocator(t.Context(), options...)
	ctx, cancelWindow := chromedp.NewContext(ctx)
	t.Cleanup(func() {
		cancelWindow()
		cancelAllocator()
	})
	c := &chromium{t: t}
	require.NoError(t, chromedp.Listen(ctx, c.listen), "chromium does not start")
	var cancelTime context.CancelFunc
	c.ctx, cancelTime = context.WithTimeout(ctx, 3*time.Minute) // only reached if it hangs
	t.Cleanup(cancelTime)
	return c
}

// listen records the errors and warnings of the browser's console.
func (c *chromium) listen(event any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch e := event.(type) {
	case *runtime.EventExceptionThrown:
		c.problems = append(c.problems, "exception "+e.ExceptionDetails.Text)
	case *runtime.EventConsoleAPICalled:
		text := string(e.Type)
		for _, a := range e.Args {
			text += " " + string(a.Value)
		}
		c.problems = append(c.problems, text)
	case *cdplog.EventEntryAdded:
		if e.Entry.Level != cdplog.EntryLevelInfo && e.Entry.Level != cdplog.EntryLevelVerbose {
			c.problems = append(c.problems, string(e.Entry.Level)+" "+e.Entry.Text+" "+e.Entry.URL)
		}
	}
}

func (c *chromium) requireCleanConsole() {
	c.t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	require.Empty(c.t, c.problems, "the console")
}

func (c *chromium) do(actions ...chromedp.Action[chromedp.Void]) {
	c.t.Helper()
	require.NoError(c.t, chromedp.Do(c.ctx, actions...))
}

func (c *chromium) typeInto(selector, text string) {
	c.t.Helper()
	c.do(chromedp.SendKeys(chromedp.CSS(selector), text))
}

// submit clicks on a button, and waits until the page behind it has loaded.
func (c *chromium) submit(button string) {
	c.t.Helper()
	_, err := chromedp.RunResponse(c.ctx, chromedp.Click(chromedp.CSS(button)))
	require.NoError(c.t, err)
}

// evaluate evaluates an expression on the page.
func evaluate[T any](c *chromium, expression string) T {
	c.t.Helper()
	value, err := chromedp.Run(c.ctx, chromedp.Evaluate[T](expression))
	require.NoError(c.t, err, expression)
	return value
}

// script turns scripts of pages on or off, from the next page on.
func (c *chromium) script(on bool) {
	c.t.Helper()
	_, err := chromedp.Call(c.ctx, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: !on})
	require.NoError(c.t, err)
}

// seen returns the visible text of an element.
func (c *chromium) seen(selector string) string {
	c.t.Helper()
	return evaluate[string](c, `document.querySelector(`+strconv.Quote(selector)+`).innerText`)
}

// requireFits checks on a telephone and on a large screen that nothing is wider than the
// screen. The pictures are for go test -artifacts.
func (c *chromium) requireFits(name string) {
	c.t.Helper()
	for _, screen := range []struct {
		name          string
		width, height int64
	}{{name: "phone", width: 360, height: 740}, {name: "desktop", width: 1000, height: 900}} {
		c.do(chromedp.EmulateViewport(screen.width, screen.height))
		picture, err := chromedp.Run(c.ctx, chromedp.FullScreenshot(100))
		require.NoError(c.t, err)
		require.NoError(c.t, os.WriteFile(filepath.Join(c.t.ArtifactDir(), name+"-"+screen.name+".png"), picture, 0o600))
		require.LessOrEqual(c.t, evaluate[int64](c, "document.documentElement.scrollWidth"), screen.width, "%s on a %s", name, screen.name)
		small := evaluate[[]string](c, `[...document.querySelectorAll("button, input:not([type=hidden]):not([hidden])")].filter(e => e.offsetParent && e.getBoundingClientRect().height < 32).map(e => e.outerHTML)`)
		require.Empty(c.t, small, "%s on a %s: too small for a finger", name, screen.name)
	}
	c.do(chromedp.ResetViewport())
}
