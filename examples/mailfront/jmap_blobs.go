// Copy the header of downloads (nosniff, attachment, sandbox), so that a download can never act as a
// page of this server. Change the store, which has a few files in memory.

package main

import (
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/seed-94e48765/portico/examples/mailfront/internal/webauth"
)

const maxBlobs = 16 // number of blobs; each has at most jmapLimits.MaxSizeUpload bytes

// blobs keeps the latest uploads.
type blobs struct {
	mu   sync.Mutex
	list []blob
}

type blob struct {
	id   string
	data []byte
}

// add returns the id of data. Equal data has the same id (RFC 8620 section 6).
func (b *blobs) add(data []byte) string {
	sum := sha256.Sum256(data)
	id := "b" + base64.RawURLEncoding.EncodeToString(sum[:])
	b.mu.Lock()
	defer b.mu.Unlock()
	b.list = slices.DeleteFunc(b.list, func(old blob) bool { return old.id == id })
	if len(b.list) == maxBlobs {
		b.list = slices.Delete(b.list, 0, 1)
	}
	b.list = append(b.list, blob{id, data})
	return id
}

func (b *blobs) get(id string) ([]byte, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	i := slices.IndexFunc(b.list, func(found blob) bool { return found.id == id })
	if i < 0 {
		return nil, false
	}
	return b.list[i].data, true
}

// upload handles uploads (section 6.1).
func (j *jmapServer) upload(w http.ResponseWriter, r *http.Request) {
	_, done, ok := j.admit(w, r, j.uploads, "maxConcurrentUpload")
	if !ok {
		return
	}
	defer done()
	if r.PathValue("account") != jmapAccountID {
		jmapProblem(w, http.StatusNotFound, "", "", "no such account")
		return
	}
	data, ok := readBody(w, r, jmapLimits.MaxSizeUpload, http.StatusRequestEntityTooLarge, "maxSizeUpload")
	if !ok {
		return
	}
	kind := r.Header.Get("Content-Type")
	if kind == "" {
		kind = "application/octet-stream"
	}
	webauth.NoStore(w)
	webauth.WriteJSON(w, http.StatusCreated, map[string]any{"accountId": jmapAccountID, "blobId": j.blobs.add(data), "type": kind, "size": len(data)})
}

// download handles downloads (section 6.2). The client chooses the type and the name.
func (j *jmapServer) download(w http.ResponseWriter, r *http.Request) {
	if _, err := j.f.authenticate(r); err != nil {
		j.f.api.Challenge(w, r, err)
		return
	}
	data, ok := j.blobs.get(r.PathValue("blob"))
	if !ok || r.PathValue("account") != jmapAccountID {
		jmapProblem(w, http.StatusNotFound, "", "", "no such blob")
		return
	}
	kind, params, err := mime.ParseMediaType(r.URL.Query().Get("accept"))
	if err != nil {
		kind, params = "application/octet-stream", nil
	}
	h := w.Header()
	h.Set("Content-Type", mime.FormatMediaType(kind, params))
	h.Set("Content-Disposition", mime.FormatMediaType("attachment", map[string]string{"filename": r.PathValue("name")}))
	h.Set("Content-Security-Policy", "sandbox; default-src 'none'")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cache-Control", "private, immutable, max-age=31536000")
	h.Set("Content-Length", strconv.Itoa(len(data)))
	w.Write(data)
}

const (
	minPing = 30 * time.Second
	maxPing = 10 * time.Minute
)

// events handles the event source (section 7.3). The account never changes, so it sends pings only.
// It ends when the server shuts down.
func (j *jmapServer) events(w http.ResponseWriter, r *http.Request) {
	if _, err := j.f.authenticate(r); err != nil {
		j.f.api.Challenge(w, r, err)
		return
	}
	seconds, err := strconv.ParseUint(r.URL.Query().Get("ping"), 10, 31)
	if err != nil {
		jmapProblem(w, http.StatusBadRequest, "", "", "ping must be a number of seconds, or 0 for no pings")
		return
	}
	interval := time.Duration(seconds) * time.Second
	var ping <-chan time.Time
	if interval > 0 {
		interval = min(max(interval, minPing), maxPing)
		ticker := time.NewTicker(interval)
		defer ticker.Stop()
		ping = ticker.C
	}
	h := w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Accel-Buffering", "no") // otherwise NGINX would buffer the events
	out := http.NewResponseController(w)
	if out.SetReadDeadline(time.Time{}) != nil {
		return
	}
	ending := j.f.webEnding
	// Send a comment, because a proxy may delay the header until the body begins, and the first ping
	// may be minutes away.
	io.WriteString(w, ":\n\n")
	for {
		// The timeouts of the server are for requests that end. On HTTP/2 an expired deadline
		// resets the stream even if nothing is to be sent.
		if errors.Join(out.SetWriteDeadline(time.Now().Add(30*time.Second)), out.Flush(), out.SetWriteDeadline(time.Time{})) != nil {
			return
		}
		select {
		case <-ping:
			fmt.Fprintf(w, "event: ping\ndata: {\"interval\":%d}\n\n", int(interval.Seconds()))
		case <-r.Context().Done():
			return
		case <-ending.Done():
			return
		}
	}
}
