package main

import (
	"net/http"
	"strings"
	"testing"

	"github.com/emersion/go-ical"
	"github.com/emersion/go-vcard"
	"github.com/emersion/go-webdav"
	"github.com/emersion/go-webdav/caldav"
	"github.com/emersion/go-webdav/carddav"
	"github.com/stretchr/testify/require"
)

const testEvent = "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:-//portico//EN\r\nBEGIN:VEVENT\r\nUID:one\r\n" +
	"DTSTAMP:20261122T000000Z\r\nDTSTART:20261123T100000Z\r\nSUMMARY:Behind a proxy\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n"

func TestDAVDiscovery(t *testing.T) {
	for _, test := range []struct{ base, how, prefix string }{
		{base: testBase, how: direct, prefix: ""},
		{base: testBase + "/mail", how: direct, prefix: "/mail"},
		{base: testBase + "/mail", how: stripped, prefix: "/mail"},
		{base: testBase + "/mail", how: kept, prefix: "/mail"},
	} {
		t.Run(test.base+" "+test.how, func(t *testing.T) {
			s := newSite(t, test.base, test.how, nil)
			http := webdav.HTTPClientWithBasicAuth(s.client, testAccount, testPassword)

			response, _ := s.do("PROPFIND", testBase+"/.well-known/caldav", "")
			require.Equal(t, 307, response.StatusCode)
			calendars, err := caldav.NewClient(http, response.Header.Get("Location"))
			require.NoError(t, err)
			principal, err := calendars.FindCurrentUserPrincipal(t.Context())
			require.NoError(t, err)
			require.Equal(t, test.prefix+"/dav/cal/demo@example.test/", principal)
			home, err := calendars.FindCalendarHomeSet(t.Context(), principal)
			require.NoError(t, err)
			list, err := calendars.FindCalendars(t.Context(), home)
			require.NoError(t, err)
			require.Len(t, list, 1)
			event, err := ical.NewDecoder(strings.NewReader(testEvent)).Decode()
			require.NoError(t, err)
			_, err = calendars.PutCalendarObject(t.Context(), list[0].Path+"one.ics", event)
			require.NoError(t, err)
			objects, err := calendars.QueryCalendar(t.Context(), list[0].Path, &caldav.CalendarQuery{
				CompRequest: caldav.CalendarCompRequest{Name: "VCALENDAR", AllProps: true, AllComps: true},
				CompFilter:  caldav.CompFilter{Name: "VCALENDAR", Comps: []caldav.CompFilter{{Name: "VEVENT"}}},
			})
			require.NoError(t, err)
			require.Len(t, objects, 1)
			require.Equal(t, list[0].Path+"one.ics", objects[0].Path)
			object, err := calendars.GetCalendarObject(t.Context(), objects[0].Path)
			require.NoError(t, err)
			require.Equal(t, "Behind a proxy", object.Data.Children[0].Props.Get("SUMMARY").Value)
			require.NoError(t, calendars.RemoveAll(t.Context(), objects[0].Path))
			_, err = calendars.GetCalendarObject(t.Context(), objects[0].Path)
			require.ErrorContains(t, err, "404")

			response, _ = s.do("PROPFIND", testBase+"/.well-known/carddav", "")
			require.Equal(t, 307, response.StatusCode)
			books, err := carddav.NewClient(http, response.Header.Get("Location"))
			require.NoError(t, err)
			principal, err = books.FindCurrentUserPrincipal(t.Context())
			require.NoError(t, err)
			home, err = books.FindAddressBookHomeSet(t.Context(), principal)
			require.NoError(t, err)
			found, err := books.FindAddressBooks(t.Context(), home)
			require.NoError(t, err)
			require.Len(t, found, 1)
			card := vcard.Card{"FN": {{Value: "Ann Example"}}, "VERSION": {{Value: "3.0"}}}
			_, err = books.PutAddressObject(t.Context(), found[0].Path+"ann.vcf", card)
			require.NoError(t, err)
			got, err := books.MultiGetAddressBook(t.Context(), found[0].Path, &carddav.AddressBookMultiGet{
				Paths: []string{found[0].Path + "ann.vcf"}, DataRequest: carddav.AddressDataRequest{AllProp: true},
			})
			require.NoError(t, err)
			require.Equal(t, "Ann Example", got[0].Card.Value("FN"))
		})
	}
}

// A browser sends no credentials with a preflight, and clients read the classes first.
func TestDAVOptions(t *testing.T) {
	s := newSite(t, testBase+"/mail", kept, nil)
	for path, class := range map[string]string{
		"/dav/cal": "1, 3, calendar-access", "/dav/cal/": "1, 3, calendar-access", "/dav/cal/demo@example.test/calendars/default/": "1, 3, calendar-access",
		"/dav/card": "1, 3, addressbook", "/dav/card/": "1, 3, addressbook",
	} {
		response, _ := s.do(http.MethodOptions, testBase+"/mail"+path, "", "Origin", "https://app.example",
			"Access-Control-Request-Method", "PROPFIND", "Access-Control-Request-Headers", "authorization, depth, x-other")
		require.Equal(t, http.StatusNoContent, response.StatusCode, path)
		require.Equal(t, class, response.Header.Get("DAV"), path)
		require.Equal(t, "*", response.Header.Get("Access-Control-Allow-Origin"), path)
		require.Equal(t, "*, Authorization", response.Header.Get("Access-Control-Allow-Headers"), path)
		for _, method := range []string{"PROPFIND", "REPORT", "PUT", "DELETE"} {
			require.Contains(t, response.Header.Get("Access-Control-Allow-Methods"), method, path)
			require.Contains(t, response.Header.Get("Allow"), method, path)
		}
		response, _ = s.do("PROPFIND", testBase+"/mail"+path, "", "Origin", "https://app.example")
		require.Equal(t, http.StatusUnauthorized, response.StatusCode, path)
		require.Equal(t, "*", response.Header.Get("Access-Control-Allow-Origin"), path)
	}
}

func TestDAVKeepsItsConditionsAndBounds(t *testing.T) {
	s := newSite(t, testBase, direct, nil)
	const collection = "/dav/cal/demo@example.test/calendars/default/"
	put := func(path, body string, fields ...string) *http.Response {
		response, _ := s.do(http.MethodPut, path, body, append(fields, "Authorization", basicAuth(testPassword), "Content-Type", "text/calendar; charset=utf-8")...)
		return response
	}
	made := put(collection+"one.ics", testEvent, "If-None-Match", "*")
	require.Equal(t, http.StatusCreated, made.StatusCode)
	require.Equal(t, http.StatusPreconditionFailed, put(collection+"one.ics", testEvent, "If-None-Match", "*").StatusCode)
	require.Equal(t, http.StatusPreconditionFailed, put(collection+"one.ics", testEvent, "If-Match", `"another"`).StatusCode)
	require.Equal(t, http.StatusPreconditionFailed, put(collection+"two.ics", testEvent, "If-Match", "*").StatusCode)
	again := put(collection+"one.ics", testEvent, "If-Match", made.Header.Get("ETag"))
	require.Equal(t, http.StatusCreated, again.StatusCode)
	require.NotEqual(t, made.Header.Get("ETag"), again.Header.Get("ETag"))

	for path, want := range map[string]int{
		"/dav/cal/other@example.test/calendars/default/one.ics":    http.StatusNotFound,
		"/dav/cal/demo@example.test/calendars/other/one.ics":       http.StatusNotFound,
		"/dav/cal/demo@example.test/calendars/default/":            http.StatusNotFound,
		"/dav/cal/demo@example.test/calendars/default/a/b.ics":     http.StatusNotFound,
		"/dav/cal/demo@example.test/calendars/default/../one.ics":  http.StatusNotFound,
		"/dav/card/demo@example.test/contacts/default/%2e%2e/%2e/": http.StatusNotFound,
	} {
		require.Equal(t, want, put(path, testEvent).StatusCode, path)
	}
	response, _ := s.do("DELETE", collection, "", "Authorization", basicAuth(testPassword))
	require.Equal(t, http.StatusForbidden, response.StatusCode)
	two := strings.Replace(testEvent, "END:VEVENT\r\n", "END:VEVENT\r\nBEGIN:VEVENT\r\nUID:two\r\nDTSTAMP:20261122T000000Z\r\nEND:VEVENT\r\n", 1)
	require.Equal(t, http.StatusConflict, put(collection+"two.ics", two).StatusCode)
	long := strings.Replace(testEvent, "Behind", strings.Repeat("x", maxDAVRequest), 1)
	require.Equal(t, http.StatusBadRequest, put(collection+"long.ics", long).StatusCode)

	response, _ = s.do("PROPFIND", "/dav/cal", "")
	require.Equal(t, http.StatusUnauthorized, response.StatusCode)
	require.Regexp(t, `^Basic realm="mailfront"`, response.Header.Get("WWW-Authenticate"))

	c := newCalendars()
	for i := range maxDAVObjects {
		_, err := c.put(strings.Repeat("x", i+1), nil, "", "")
		require.NoError(t, err)
	}
	_, err := c.put("more", nil, "", "")
	require.ErrorContains(t, err, "full")
	_, err = c.put("x", nil, "", "")
	require.NoError(t, err, "replacing needs no room")
}
