// Unmodified tsdav finds a calendar and an address book by the well-known locations of the host, and
// stores objects in both.
import assert from 'node:assert/strict'
import { createDAVClient } from 'tsdav'

const { BASE, ACCOUNT, PASSWORD } = process.env
const dav = (defaultAccountType) => createDAVClient({
  serverUrl: new URL('/', BASE).href,
  credentials: { username: ACCOUNT, password: PASSWORD },
  authMethod: 'Basic',
  defaultAccountType,
})

const caldav = await dav('caldav')
const [calendar] = await caldav.fetchCalendars()
assert.ok(calendar.url.startsWith(`${BASE}/`), calendar.url)
const event = [
  'BEGIN:VCALENDAR', 'VERSION:2.0', 'PRODID:-//portico//interop//EN',
  'BEGIN:VEVENT', 'UID:one', 'DTSTAMP:20261122T000000Z', 'DTSTART:20261123T100000Z',
  'SUMMARY:Behind a proxy', 'END:VEVENT', 'END:VCALENDAR', '',
].join('\r\n')
const made = await caldav.createCalendarObject({ calendar, filename: 'one.ics', iCalString: event })
assert.ok(made.ok, `calendar: status ${made.status}`)
const objects = await caldav.fetchCalendarObjects({ calendar })
assert.equal(objects.length, 1)
assert.match(objects[0].data, /SUMMARY:Behind a proxy/)

const carddav = await dav('carddav')
const [addressBook] = await carddav.fetchAddressBooks()
assert.ok(addressBook.url.startsWith(`${BASE}/`), addressBook.url)
console.log('tsdav: calendar and address book found')
