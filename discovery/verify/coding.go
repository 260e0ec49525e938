package verify

import (
	"bytes"
	"compress/flate"
	"compress/gzip"
	"errors"
	"net/http"
	"strings"
)

// A codingError reports a body that does not match its Content-Encoding (RFC 9110 section
// 8.4).
type codingError struct{ text string }

func (e *codingError) Error() string { return e.text }

// checkCoding reports a content coding that does not match the body. The client accepts gzip
// only, and has decoded it and removed the field before.
func checkCoding(h http.Header, body []byte, err error) error {
	var corrupt flate.CorruptInputError
	coding := strings.Join(h.Values("Content-Encoding"), ", ")
	switch {
	case errors.Is(err, gzip.ErrHeader), errors.Is(err, gzip.ErrChecksum), errors.As(err, &corrupt):
		return &codingError{"the body is not gzip, though Content-Encoding is"}
	case err != nil:
		return err
	case coding != "" && !strings.EqualFold(coding, "identity"):
		return &codingError{"Content-Encoding is " + coding + ", which was not asked for"}
	case bytes.HasPrefix(body, []byte("\x1f\x8b")):
		return &codingError{"the body is gzip without Content-Encoding, or it is compressed twice"}
	}
	return nil
}
