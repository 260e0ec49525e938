// Copy serveDAV: the answers of DAV contain paths, so it adds the prefix of the public base that
// was stripped from the request. Change the collections, which are one calendar and one address
// book in memory.

package main

import (
	"context"
	"crypto/rand"
	"errors"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/emersion/go-webdav"

	"github.com/seed-94e48765/portico/examples/mailfront/internal/webauth"
)

const (
	calendarPath    = "/dav/cal"
	addressBookPath = "/dav/card"

	maxDAVRequest = 256 << 10 // bytes
	maxDAVObjects = 100       // in a collection
)

func (f *frontend) davRoutes(mux *http.ServeMux) {
	calendars, addressBooks := newCalendars(), newAddressBooks()
	for path, handler := range map[string]func(*davTree) http.Handler{
		calendarPath:    calendars.handler,
		addressBookPath: addressBooks.handler,
	} {
		h := f.serveDAV(path, handler)
		mux.Handle(path, h) // otherwise ServeMux would redirect without the prefix
		mux.Handle(path+"/", h)
	}
}

// davClasses are the compliance classes (RFC 4918 section 10.1, RFC 4791 section 5.1, RFC
// 6352 section 6.1).
var davClasses = map[string]string{calendarPath: "1, 3, calendar-access", addressBookPath: "1, 3, addressbook"}

const davMethods = "OPTIONS, GET, HEAD, PUT, DELETE, PROPFIND, PROPPATCH, REPORT, MKCOL"

// serveDAV handles every method of DAV. OPTIONS requires no credentials: browsers send none with
// a preflight, and clients read the compliance classes before they sign in.
func (f *frontend) serveDAV(path string, handler func(*davTree) http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		webauth.AllowOrigins(w, "DAV, ETag, Location, WWW-Authenticate")
		if r.Method == http.MethodOptions {
			w.Header().Set("DAV", davClasses[path])
			webauth.Preflight(w, davMethods)
			return
		}
		c, err := f.authenticate(r)
		if err != nil {
			f.api.ChallengeBasic(w, r, err)
			return
		}
		prefix := f.documents.Current().Base().Prefix()
		decoded, err := url.PathUnescape(prefix)
		if err != nil {
			f.api.ServerError(w, r, err)
			return
		}
		u := *r.URL
		u.Path = decoded + u.Path
		if u.RawPath != "" {
			u.RawPath = prefix + u.RawPath
		}
		inner := *r
		inner.URL = &u
		inner.Body = http.MaxBytesReader(w, r.Body, maxDAVRequest)
		tree := davTree{root: decoded + path, account: c.Account}
		h := handler(&tree)
		if r.Method == "PROPFIND" {
			tree.findProperties(h, w, &inner)
			return
		}
		h.ServeHTTP(w, &inner)
	})
}

// A davTree has the layout of the paths: root/account/home/collection/object.
type davTree struct{ root, account, homeName string }

func (t davTree) principal() string  { return t.root + "/" + t.account + "/" }
func (t davTree) home() string       { return t.principal() + t.homeName + "/" }
func (t davTree) collection() string { return t.home() + "default/" }

// isCollection compares paths without the slash at the end.
func (t davTree) isCollection(path string) bool {
	return strings.TrimSuffix(path, "/")+"/" == t.collection()
}

// object returns the name of an object in the collection.
func (t davTree) object(path string) (string, error) {
	name, ok := strings.CutPrefix(path, t.collection())
	if !ok || name == "" || strings.Contains(name, "/") {
		return "", errNotFound
	}
	return name, nil
}

var (
	errNotFound     = webdav.NewHTTPError(http.StatusNotFound, errors.New("not found"))
	errForbidden    = webdav.NewHTTPError(http.StatusForbidden, errors.New("the server has one collection, which cannot be replaced or deleted"))
	errPrecondition = webdav.NewHTTPError(http.StatusPreconditionFailed, errors.New("the object does not match the condition of the request"))
	errFull         = webdav.NewHTTPError(http.StatusInsufficientStorage, errors.New("the collection is full"))
)

// A davCollection holds calendar objects or address cards by name.
type davCollection[T any] struct {
	mu      sync.Mutex
	objects map[string]davObject[T]
}

type davObject[T any] struct {
	name, etag string
	modified   time.Time
	data       T // never modified
}

func (c *davCollection[T]) get(name string) (davObject[T], error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	o, ok := c.objects[name]
	if !ok {
		return o, errNotFound
	}
	return o, nil
}

func (c *davCollection[T]) all() []davObject[T] {
	c.mu.Lock()
	defer c.mu.Unlock()
	var all []davObject[T]
	for _, name := range slices.Sorted(maps.Keys(c.objects)) {
		all = append(all, c.objects[name])
	}
	return all
}

// put stores an object if the conditions of the request hold (RFC 9110 section 13.1).
func (c *davCollection[T]) put(name string, data T, ifNone, ifMatch webdav.ConditionalMatch) (davObject[T], error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	old, exists := c.objects[name]
	if ifNone.IsSet() && exists && matchesETag(ifNone, old.etag) || ifMatch.IsSet() && !(exists && matchesETag(ifMatch, old.etag)) {
		return old, errPrecondition
	}
	if !exists && len(c.objects) >= maxDAVObjects {
		return old, errFull
	}
	o := davObject[T]{name, rand.Text(), time.Now(), data}
	c.objects[name] = o
	return o, nil
}

func matchesETag(m webdav.ConditionalMatch, etag string) bool {
	if m.IsWildcard() {
		return true
	}
	want, err := m.ETag()
	return err == nil && want == etag
}

func (c *davCollection[T]) remove(name string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, ok := c.objects[name]; !ok {
		return errNotFound
	}
	delete(c.objects, name)
	return nil
}

// principals implements webdav.UserPrincipalBackend.
type principals struct{ tree davTree }

func (p principals) CurrentUserPrincipal(context.Context) (string, error) {
	return p.tree.principal(), nil
}
