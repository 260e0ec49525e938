// What to copy: nothing: go-webdav's two backends, over the collections in dav.go.
// What to change: nothing.

package main

import (
	"context"
	"net/http"
	"strings"

	"github.com/emersion/go-ical"
	"github.com/emersion/go-vcard"
	"github.com/emersion/go-webdav/caldav"
	"github.com/emersion/go-webdav/carddav"
)

// calendars is one calendar (RFC 4791).
type calendars struct{ davCollection[*ical.Calendar] }

func newCalendars() *calendars {
	return &calendars{davCollection[*ical.Calendar]{objects: make(map[string]davObject[*ical.Calendar])}}
}

func (c *calendars) handler(t davTree) http.Handler {
	t.homeName = "calendars"
	return &caldav.Handler{Backend: &calendarBackend{principals{t}, c}, Prefix: t.root}
}

type calendarBackend struct {
	principals
	*calendars
}

func (b *calendarBackend) CalendarHomeSetPath(context.Context) (string, error) {
	return b.tree.home(), nil
}

func (b *calendarBackend) calendar() caldav.Calendar {
	return caldav.Calendar{
		Path: b.tree.collection(), Name: "Calendar", MaxResourceSize: maxDAVRequest,
		SupportedComponentSet: []string{ical.CompEvent, ical.CompToDo},
	}
}

func (b *calendarBackend) ListCalendars(context.Context) ([]caldav.Calendar, error) {
	return []caldav.Calendar{b.calendar()}, nil
}

func (b *calendarBackend) GetCalendar(_ context.Context, path string) (*caldav.Calendar, error) {
	if !b.tree.isCollection(path) {
		return nil, errNotFound
	}
	c := b.calendar()
	return &c, nil
}

func (b *calendarBackend) CreateCalendar(context.Context, *caldav.Calendar) error {
	return errForbidden
}

func (b *calendarBackend) convert(o davObject[*ical.Calendar]) caldav.CalendarObject {
	return caldav.CalendarObject{Path: b.tree.collection() + o.name, ModTime: o.modified, ETag: o.etag, Data: o.data}
}

func (b *calendarBackend) GetCalendarObject(_ context.Context, path string, _ *caldav.CalendarCompRequest) (*caldav.CalendarObject, error) {
	name, err := b.tree.object(path)
	if err != nil {
		return nil, err
	}
	o, err := b.get(name)
	if err != nil {
		return nil, err
	}
	c := b.convert(o)
	return &c, nil
}

func (b *calendarBackend) ListCalendarObjects(_ context.Context, path string, _ *caldav.CalendarCompRequest) ([]caldav.CalendarObject, error) {
	if !b.tree.isCollection(path) {
		return nil, errNotFound
	}
	var list []caldav.CalendarObject
	for _, o := range b.all() {
		list = append(list, b.convert(o))
	}
	return list, nil
}

func (b *calendarBackend) QueryCalendarObjects(ctx context.Context, path string, query *caldav.CalendarQuery) ([]caldav.CalendarObject, error) {
	list, err := b.ListCalendarObjects(ctx, path, nil)
	if err != nil {
		return nil, err
	}
	return caldav.Filter(query, list)
}

func (b *calendarBackend) PutCalendarObject(_ context.Context, path string, data *ical.Calendar, opts *caldav.PutCalendarObjectOptions) (*caldav.CalendarObject, error) {
	name, err := b.tree.object(path)
	if err != nil {
		return nil, err
	}
	if _, _, err := caldav.ValidateCalendarObject(data); err != nil {
		return nil, caldav.NewPreconditionError(caldav.PreconditionValidCalendarObjectResource)
	}
	if repeatsTooOften(data) {
		return nil, caldav.NewPreconditionError(caldav.PreconditionMaxInstances)
	}
	o, err := b.put(name, data, opts.IfNoneMatch, opts.IfMatch)
	if err != nil {
		return nil, err
	}
	c := b.convert(o)
	return &c, nil
}

// repeatsTooOften is for rules that a query would have to expand to a list of
// millions (RFC 5545 section 3.3.10).
func repeatsTooOften(data *ical.Calendar) bool {
	for _, event := range data.Children {
		for _, rule := range event.Props.Values(ical.PropRecurrenceRule) {
			value := strings.ToUpper(rule.Value)
			if strings.Contains(value, "SECONDLY") || strings.Contains(value, "MINUTELY") || strings.Contains(value, "BYSECOND") || strings.Contains(value, "BYMINUTE") {
				return true
			}
		}
	}
	return false
}

func (b *calendarBackend) DeleteCalendarObject(_ context.Context, path string) error {
	name, err := b.tree.object(path)
	if err != nil {
		return errForbidden
	}
	return b.remove(name)
}

// addressBooks is one address book (RFC 6352).
type addressBooks struct{ davCollection[vcard.Card] }

func newAddressBooks() *addressBooks {
	return &addressBooks{davCollection[vcard.Card]{objects: make(map[string]davObject[vcard.Card])}}
}

func (a *addressBooks) handler(t davTree) http.Handler {
	t.homeName = "contacts"
	return &carddav.Handler{Backend: &addressBackend{principals{t}, a}, Prefix: t.root}
}

type addressBackend struct {
	principals
	*addressBooks
}

func (b *addressBackend) AddressBookHomeSetPath(context.Context) (string, error) {
	return b.tree.home(), nil
}

func (b *addressBackend) book() carddav.AddressBook {
	return carddav.AddressBook{Path: b.tree.collection(), Name: "Contacts", MaxResourceSize: maxDAVRequest}
}

func (b *addressBackend) ListAddressBooks(context.Context) ([]carddav.AddressBook, error) {
	return []carddav.AddressBook{b.book()}, nil
}

func (b *addressBackend) GetAddressBook(_ context.Context, path string) (*carddav.AddressBook, error) {
	if !b.tree.isCollection(path) {
		return nil, errNotFound
	}
	a := b.book()
	return &a, nil
}

func (b *addressBackend) CreateAddressBook(context.Context, *carddav.AddressBook) error {
	return errForbidden
}

func (b *addressBackend) DeleteAddressBook(context.Context, string) error { return errForbidden }

func (b *addressBackend) convert(o davObject[vcard.Card]) carddav.AddressObject {
	return carddav.AddressObject{Path: b.tree.collection() + o.name, ModTime: o.modified, ETag: o.etag, Card: o.data}
}

func (b *addressBackend) GetAddressObject(_ context.Context, path string, _ *carddav.AddressDataRequest) (*carddav.AddressObject, error) {
	name, err := b.tree.object(path)
	if err != nil {
		return nil, err
	}
	o, err := b.get(name)
	if err != nil {
		return nil, err
	}
	a := b.convert(o)
	return &a, nil
}

func (b *addressBackend) ListAddressObjects(_ context.Context, path string, _ *carddav.AddressDataRequest) ([]carddav.AddressObject, error) {
	if !b.tree.isCollection(path) {
		return nil, errNotFound
	}
	var list []carddav.AddressObject
	for _, o := range b.all() {
		list = append(list, b.convert(o))
	}
	return list, nil
}

func (b *addressBackend) QueryAddressObjects(ctx context.Context, path string, query *carddav.AddressBookQuery) ([]carddav.AddressObject, error) {
	list, err := b.ListAddressObjects(ctx, path, nil)
	if err != nil {
		return nil, err
	}
	return carddav.Filter(query, list)
}

func (b *addressBackend) PutAddressObject(_ context.Context, path string, data vcard.Card, opts *carddav.PutAddressObjectOptions) (*carddav.AddressObject, error) {
	name, err := b.tree.object(path)
	if err != nil {
		return nil, err
	}
	o, err := b.put(name, data, opts.IfNoneMatch, opts.IfMatch)
	if err != nil {
		return nil, err
	}
	a := b.convert(o)
	return &a, nil
}

func (b *addressBackend) DeleteAddressObject(_ context.Context, path string) error {
	name, err := b.tree.object(path)
	if err != nil {
		return errForbidden
	}
	return b.remove(name)
}
