// Unmodified jmap-jam gets the session from the well-known location and makes a call to the API
// URL in the session.
import assert from 'node:assert/strict'
import JamClient from 'jmap-jam'

const { BASE, ACCOUNT, PASSWORD, TOKEN = PASSWORD } = process.env
const jam = new JamClient({
  sessionUrl: new URL('/.well-known/jmap', BASE).href,
  bearerToken: TOKEN,
})
const session = await jam.session
assert.equal(session.username, ACCOUNT)
assert.ok(session.apiUrl.startsWith(`${BASE}/`), session.apiUrl)
const [echo] = await jam.request(['Core/echo', { hello: true, high: 5 }])
assert.deepEqual(echo, { hello: true, high: 5 })
console.log('jmap-jam: Core/echo answered')
