// Unmodified oauth4webapi requests the JMAP session without a token, finds the authorization server
// by the challenge and the protected resource's metadata, and signs in.
import assert from 'node:assert/strict'
import * as oauth from 'oauth4webapi'
import { signIn } from './browser.mjs'

const { BASE, ACCOUNT, PASSWORD } = process.env
const redirect_uri = 'http://127.0.0.1/callback'
const session = new URL(`${BASE}/jmap/session`)

const refused = await fetch(session)
assert.equal(refused.status, 401)
const challenge = refused.headers.get('www-authenticate')
const named = /resource_metadata="([^"]+)"/.exec(challenge)?.[1]
const asked = oauth.resourceDiscoveryRequest(session)
const response = await asked
assert.equal(named, response.url, 'the challenge names another document than RFC 9728 derives')
const resource = await oauth.processResourceDiscoveryResponse(session, response)

const issuer = new URL(resource.authorization_servers[0])
const server = await oauth.processDiscoveryResponse(
  issuer,
  await oauth.discoveryRequest(issuer, { algorithm: 'oauth2' }),
)
assert.equal(server.issuer, process.env.ISSUER ?? BASE)

const client = await oauth.processDynamicClientRegistrationResponse(
  await oauth.dynamicClientRegistrationRequest(server, {
    redirect_uris: [redirect_uri],
    token_endpoint_auth_method: 'none',
  }),
)

const verifier = oauth.generateRandomCodeVerifier()
const state = oauth.generateRandomState()
const authorization = new URL(server.authorization_endpoint)
authorization.search = new URLSearchParams({
  client_id: client.client_id,
  redirect_uri,
  response_type: 'code',
  scope: 'openid email',
  code_challenge: await oauth.calculatePKCECodeChallenge(verifier),
  code_challenge_method: 'S256',
  state,
})
const back = await signIn(authorization, redirect_uri, ACCOUNT, PASSWORD)
const parameters = oauth.validateAuthResponse(server, client, back, state) // with RFC 9207's iss
const tokens = await oauth.processAuthorizationCodeResponse(
  server,
  client,
  await oauth.authorizationCodeGrantRequest(server, client, oauth.None(), parameters, redirect_uri, verifier),
)
const signedIn = await oauth.protectedResourceRequest(tokens.access_token, 'GET', session)
assert.equal((await signedIn.json()).username, ACCOUNT)
console.log('oauth4webapi: signed in from the challenge')
console.log(`token: ${tokens.access_token}`)
