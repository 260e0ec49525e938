package webpage

import (
	"cmp"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// A Problem is an error for a person with a browser.
type Problem struct {
	Page
	Text  string // the cause and the correction
	Wait  string // when to try again; "" if a retry does not help
	Retry bool   // show a link to the same page
	Code  int    // the HTTP status
}

// problems has a title for each status. It has a text if the text of the handler is for programs.
var problems = map[int]struct{ title, text string }{
	http.StatusBadRequest:          {title: "The request is not valid"},
	http.StatusUnauthorized:        {title: "Sign-in required", text: "This address is for programs that sign in, such as mail and calendar clients."},
	http.StatusForbidden:           {title: "Access denied"},
	http.StatusNotFound:            {title: "Page not found", text: "This server has no page at this address. Check the address for a typing error."},
	http.StatusMethodNotAllowed:    {title: "Not a page", text: "This address is for programs. It does not have a page for a browser."},
	http.StatusTooManyRequests:     {title: "Too many requests", text: "Too many requests or wrong passwords came from your address."},
	http.StatusInternalServerError: {title: "Server error", text: "The request failed because of an error in the server. The server's log has the reason."},
	http.StatusServiceUnavailable:  {title: "Temporarily unavailable"},
}

// WriteProblem answers with a page about an error, with a title and a text for a person. If the header
// Retry-After is set, the page has it in words.
func WriteProblem(w http.ResponseWriter, r *http.Request, status int, title, text string) {
	p := Problem{Page: Page{Title: title, Narrow: true}, Text: text, Wait: Wait(w.Header()), Code: status}
	p.Retry = p.Wait != "" && (r.Method == http.MethodGet || r.Method == http.MethodHead)
	if err := Write(w, status, Policy(""), layout, "problem", p); err != nil {
		http.Error(w, text, status) // not reached: no part of the template fails
	}
}

// Wait returns the header Retry-After (RFC 9110 section 10.2.3) as part of a sentence, such as
// "in 5 minutes", rounded up. It returns "" without a valid header.
func Wait(h http.Header) string {
	text := h.Get("Retry-After")
	seconds, err := strconv.ParseUint(text, 10, 31)
	if err != nil {
		at, err := http.ParseTime(text)
		if err != nil {
			return ""
		}
		seconds = uint64(max(0, time.Until(at).Seconds()))
	}
	switch minutes := (seconds + 59) / 60; {
	case seconds <= 1:
		return "in a second"
	case seconds < 60:
		return fmt.Sprintf("in %d seconds", seconds)
	case minutes == 1:
		return "in a minute"
	case minutes < 120:
		return fmt.Sprintf("in %d minutes", minutes)
	default:
		return fmt.Sprintf("in %d hours", (minutes+59)/60)
	}
}

// Errors returns a handler that shows the plain-text errors of next, such as those of
// http.Error, as pages if the request accepts HTML, as requests of browsers for a page do.
// Answers to other programs are not changed.
func Errors(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !strings.Contains(r.Header.Get("Accept"), "text/html") {
			next.ServeHTTP(w, r)
			return
		}
		e := &errorWriter{ResponseWriter: w}
		next.ServeHTTP(e, r)
		if e.status != 0 {
			known := problems[e.status]
			WriteProblem(w, r, e.status, cmp.Or(known.title, http.StatusText(e.status), "Error"), cmp.Or(known.text, strings.TrimSpace(e.text.String())))
		}
	})
}

const maxErrorText = 1 << 10 // bytes

// An errorWriter holds an answer back if it is an error in plain text.
type errorWriter struct {
	http.ResponseWriter
	begun  bool
	status int // status of the answer that is held back
	text   strings.Builder
}

func (e *errorWriter) WriteHeader(status int) {
	if e.begun {
		return
	}
	if status >= 400 && strings.HasPrefix(e.Header().Get("Content-Type"), "text/plain") {
		e.begun, e.status = true, status
		return
	}
	e.begun = status >= 200
	e.ResponseWriter.WriteHeader(status)
}

func (e *errorWriter) Write(p []byte) (int, error) {
	if !e.begun {
		e.WriteHeader(http.StatusOK)
	}
	if e.status == 0 {
		return e.ResponseWriter.Write(p)
	}
	e.text.Write(p[:min(len(p), maxErrorText-e.text.Len())])
	return len(p), nil
}

// FlushError does not send an answer that is held back.
func (e *errorWriter) FlushError() error {
	if e.status != 0 {
		return nil
	}
	e.begun = true
	return http.NewResponseController(e.ResponseWriter).Flush()
}

// Unwrap returns the ResponseWriter for http.ResponseController.
func (e *errorWriter) Unwrap() http.ResponseWriter { return e.ResponseWriter }
