package main

import (
	"context"
	"net/http"
	"strings"

	"github.com/emersion/go-ical"
	"github.com/emersion/go-vcard"
	"github.com/emersion/go-webdav"
	"github.com/emersion/go-webdav/caldav"
	"github.com/emersion/go-webdav/carddav"
)

// A davView adapts a collection to a backend whose objects have the type O.
type davView[T, O any] struct {
	principals
	*davCollection[T]
	object func(path string, o davObject[T]) O
}

func (v *davView[T, O]) show(o davObject[T]) *O {
	shown := v.object(v.tree.collection()+o.name, o)
	return &shown
}

func (v *davView[T, O]) at(path string) (*O, error) {
	name, err := v.tree.object(path)
	if err != nil {
		return nil, err
	}
	o, err := v.get(name)
	if err != nil {
		return nil, err
	}
	return v.show(o), nil
}

func (v *davView[T, O]) list(path string) ([]O, error) {
	if !v.tree.isCollection(path) {
		return nil, errNotFound
	}
	var list []O
	for _, o := range v.all() {
		list = append(list, *v.show(o))
	}
	return list, nil
}

func (v *davView[T, O]) putAt(path string, data T, ifNone, ifMatch webdav.ConditionalMatch) (*O, error) {
	name, err := v.tree.object(path)
	if err != nil {
		return nil, err
	}
	o, err := v.put(name, data, ifNone, ifMatch)
	if err != nil {
		return nil, err
	}
	return v.show(o), nil
}

func (v *davView[T, O]) removeAt(path string) error {
	name, err := v.tree.object(path)
	if err != nil {
		return errForbidden
	}
	return v.remove(name)
}

// calendars is a CalDAV backend with one calendar (RFC 4791).
type calendars struct{ davCollection[*ical.Calendar] }

func newCalendars() *calendars {
	return &calendars{davCollection[*ical.Calendar]{objects: make(map[string]davObject[*ical.Calendar])}}
}

func (c *calendars) handler(t *davTree) http.Handler {
	t.homeName = "calendars"
	view := davView[*ical.Calendar, caldav.CalendarObject]{principals{*t}, &c.davCollection, calendarObject}
	return &caldav.Handler{Backend: &calendarBackend{view}, Prefix: t.root}
}

func calendarObject(path string, o davObject[*ical.Calendar]) caldav.CalendarObject {
	return caldav.CalendarObject{Path: path, ModTime: o.modified, ETag: o.etag, Data: o.data}
}

type calendarBackend struct {
	davView[*ical.Calendar, caldav.CalendarObject]
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

func (b *calendarBackend) GetCalendarObject(_ context.Context, path string, _ *caldav.CalendarCompRequest) (*caldav.CalendarObject, error) {
	return b.at(path)
}

func (b *calendarBackend) ListCalendarObjects(_ context.Context, path string, _ *caldav.CalendarCompRequest) ([]caldav.CalendarObject, error) {
	return b.list(path)
}

func (b *calendarBackend) QueryCalendarObjects(_ context.Context, path string, query *caldav.CalendarQuery) ([]caldav.CalendarObject, error) {
	list, err := b.list(path)
	if err != nil {
		return nil, err
	}
	return caldav.Filter(query, list)
}

func (b *calendarBackend) PutCalendarObject(_ context.Context, path string, data *ical.Calendar, opts *caldav.PutCalendarObjectOptions) (*caldav.CalendarObject, error) {
	if _, _, err := caldav.ValidateCalendarObject(data); err != nil {
		return nil, caldav.NewPreconditionError(caldav.PreconditionValidCalendarObjectResource)
	}
	if repeatsTooOften(data) {
		return nil, caldav.NewPreconditionError(caldav.PreconditionMaxInstances)
	}
	return b.putAt(path, data, opts.IfNoneMatch, opts.IfMatch)
}

func (b *calendarBackend) DeleteCalendarObject(_ context.Context, path string) error {
	return b.removeAt(path)
}

// repeatsTooOften reports whether a calendar has a rule that a query would expand to millions of
// instances (RFC 5545 section 3.3.10).
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

// addressBooks is a CardDAV backend with one address book (RFC 6352).
type addressBooks struct{ davCollection[vcard.Card] }

func newAddressBooks() *addressBooks {
	return &addressBooks{davCollection[vcard.Card]{objects: make(map[string]davObject[vcard.Card])}}
}

func (a *addressBooks) handler(t *davTree) http.Handler {
	t.homeName = "contacts"
	view := davView[vcard.Card, carddav.AddressObject]{principals{*t}, &a.davCollection, addressObject}
	return &carddav.Handler{Backend: &addressBackend{view}, Prefix: t.root}
}

func addressObject(path string, o davObject[vcard.Card]) carddav.AddressObject {
	return carddav.AddressObject{Path: path, ModTime: o.modified, ETag: o.etag, Card: o.data}
}

type addressBackend struct {
	davView[vcard.Card, carddav.AddressObject]
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

func (b *addressBackend) GetAddressObject(_ context.Context, path string, _ *carddav.AddressDataRequest) (*carddav.AddressObject, error) {
	return b.at(path)
}

func (b *addressBackend) ListAddressObjects(_ context.Context, path string, _ *carddav.AddressDataRequest) ([]carddav.AddressObject, error) {
	return b.list(path)
}

func (b *addressBackend) QueryAddressObjects(_ context.Context, path string, query *carddav.AddressBookQuery) ([]carddav.AddressObject, error) {
	list, err := b.list(path)
	if err != nil {
		return nil, err
	}
	return carddav.Filter(query, list)
}

func (b *addressBackend) PutAddressObject(_ context.Context, path string, data vcard.Card, opts *carddav.PutAddressObjectOptions) (*carddav.AddressObject, error) {
	return b.putAt(path, data, opts.IfNoneMatch, opts.IfMatch)
}

func (b *addressBackend) DeleteAddressObject(_ context.Context, path string) error {
	return b.removeAt(path)
}
