// Package webpage provides the layout and the style sheet of the HTML pages, and shows
// plain-text errors as pages in browsers.
//
// A page works without JavaScript, at every width from 320 pixels, in light and dark
// (prefers-color-scheme). Its Content-Security-Policy allows only the style sheet and the
// script, by their hashes, so that injected markup cannot run.
//
// Copy with it: nothing.
//
// Change the name in layout.html and the colours in style.css. A test computes the contrast of
// every colour pair.
package webpage

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"html/template"
	"io/fs"
	"net/http"
)

var (
	//go:embed layout.html
	layoutHTML string
	//go:embed style.css
	styleSheet string
)

// A Page has the data of the layout. Embed it in the data of each template.
type Page struct {
	Title  string // title of the document, without the name of the server
	Failed bool   // a form has an error, which the title of the document reports first
	Narrow bool   // for a page with one short form
	Root   string // target of the relative link at the name of the server; "" for no link
	Script template.JS
}

var layout = template.Must(template.New("").Funcs(template.FuncMap{
	"style": func() template.CSS { return template.CSS(styleSheet) },
}).Parse(layoutHTML))

// Parse parses the templates of the files of fsys that match pattern, and panics if one is
// malformed. Each view begins with {{template "top" .}} and ends with {{template "bottom" .}}.
func Parse(fsys fs.FS, pattern string) *template.Template {
	return template.Must(template.Must(layout.Clone()).ParseFS(fsys, pattern))
}

// Policy returns the Content-Security-Policy (CSP Level 3) for pages with the given script,
// which may be empty. Forms may be sent to every URL, because browsers apply form-action to the
// redirect after a form, and that of a sign-in leads to an application.
func Policy(script string) string {
	policy := "default-src 'none'; style-src " + SourceHash(styleSheet)
	if script != "" {
		policy += "; script-src " + SourceHash(script)
	}
	return policy + "; img-src data:; base-uri 'none'; frame-ancestors 'none'"
}

// SourceHash returns the hash source of an inline style sheet or script (CSP Level 3 section
// 2.3.1).
func SourceHash(source string) string {
	sum := sha256.Sum256([]byte(source))
	return "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
}

// Write answers with a view of t and a Content-Security-Policy. The page is not cached and
// cannot be framed. If the view fails, Write returns the error and answers nothing.
func Write(w http.ResponseWriter, status int, policy string, t *template.Template, view string, data any) error {
	var b bytes.Buffer
	if err := t.ExecuteTemplate(&b, view, data); err != nil {
		return err
	}
	h := w.Header()
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", policy)
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("X-Frame-Options", "DENY")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "same-origin") // with no-referrer the form's Origin would be null
	w.WriteHeader(status)
	w.Write(b.Bytes())
	return nil
}
