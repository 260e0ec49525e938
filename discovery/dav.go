package discovery

import (
	"github.com/seed-94e48765/portico/publicurl"
)

// DAV configures the paths of calendars, address books and files. Requests
// for /.well-known/caldav and /.well-known/carddav, whatever their method, are
// redirected with 307 to CalendarPath and AddressBookPath. 307 keeps method and body:
// clients begin with PROPFIND (RFC 6764 section 5). [None] leaves a path out, and its
// well-known location is not found.
type DAV struct {
	CalendarPath    string // the context path of CalDAV; default "/dav/cal/"
	AddressBookPath string // the context path of CardDAV; default "/dav/card/"
	FilePath        string // files by WebDAV, which has no well-known location; default "/dav/file/"
}

func (b *builder) dav() {
	d := b.config.DAV
	if d == nil {
		return
	}
	b.redirect(DAVDocument, "CalendarPath", orDefault(d.CalendarPath, defaultCalendarPath), publicurl.CalDAV)
	b.redirect(DAVDocument, "AddressBookPath", orDefault(d.AddressBookPath, defaultAddressBookPath), publicurl.CardDAV)
	b.endpoint(DAVDocument, "FilePath", d.FilePath, defaultFilePath)
}

const (
	defaultCalendarPath    = "/dav/cal/"
	defaultAddressBookPath = "/dav/card/"
	defaultFilePath        = "/dav/file/"
)
