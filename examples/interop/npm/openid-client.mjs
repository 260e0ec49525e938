// Unmodified openid-client signs in and requests the user's information, first with the OpenID
// configuration of the base URL and then with its OAuth metadata.
import assert from 'node:assert/strict'
import * as client from 'openid-client'
import { signIn } from './browser.mjs'

const { BASE, ISSUER = BASE, ACCOUNT, PASSWORD } = process.env
const redirect_uri = 'http://127.0.0.1/callback'

for (const algorithm of ['oidc', 'oauth2']) {
  const config = await client.dynamicClientRegistration(
    new URL(ISSUER),
    { redirect_uris: [redirect_uri], token_endpoint_auth_method: 'none' },
    client.None(),
    { algorithm },
  )
  assert.equal(config.serverMetadata().issuer, ISSUER)

  const pkceCodeVerifier = client.randomPKCECodeVerifier()
  const expectedState = client.randomState()
  const expectedNonce = client.randomNonce()
  const authorization = client.buildAuthorizationUrl(config, {
    redirect_uri,
    scope: 'openid email',
    code_challenge: await client.calculatePKCECodeChallenge(pkceCodeVerifier),
    code_challenge_method: 'S256',
    state: expectedState,
    nonce: expectedNonce,
  })
  const back = await signIn(authorization, redirect_uri, ACCOUNT, PASSWORD)
  const tokens = await client.authorizationCodeGrant(config, back, {
    pkceCodeVerifier,
    expectedState,
    expectedNonce,
    idTokenExpected: true,
  })
  assert.equal(tokens.claims().iss, ISSUER)
  if (config.serverMetadata().userinfo_endpoint) {
    const user = await client.fetchUserInfo(config, tokens.access_token, tokens.claims().sub)
    assert.equal(user.email, ACCOUNT)
  } else {
    assert.equal(algorithm, 'oauth2', 'the OpenID configuration names no userinfo endpoint')
  }
  console.log(`openid-client: signed in by ${algorithm}`)
}
