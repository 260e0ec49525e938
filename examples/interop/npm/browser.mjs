// Acts as a browser at a sign-in page. Opens the page, submits the form, and follows redirects
// up to the application's own address.

// signIn returns the URL that the browser would open at the application.
export async function signIn(authorizationURL, redirectURI, account, password) {
  const jar = new Map()
  let url = new URL(authorizationURL)
  let request = {}
  for (let i = 0; i < 10; i++) {
    const cookie = [...jar].map(([name, value]) => `${name}=${value}`).join('; ')
    const headers = { ...request.headers, ...(cookie && { cookie }) }
    const response = await fetch(url, { ...request, headers, redirect: 'manual' })
    for (const line of response.headers.getSetCookie()) {
      const [, name, value] = /^([^=]+)=([^;]*)/.exec(line)
      jar.set(name, value)
    }
    const location = response.headers.get('location')
    if (location) {
      url = new URL(location, url)
      request = {}
      if (url.href.startsWith(redirectURI)) return url
      continue
    }
    if (response.status !== 200) throw new Error(`${url}: status ${response.status}: ${await response.text()}`)
    ;({ url, request } = fill(await response.text(), url, account, password))
  }
  throw new Error('the sign-in page sends the browser in a circle')
}

// fill fills in the form of the page.
function fill(page, url, account, password) {
  const form = /<form\b([^>]*)>([\s\S]*?)<\/form>/i.exec(page)
  if (!form) throw new Error(`${url}: no form on the page`)
  const body = new URLSearchParams()
  for (const [tag] of form[2].matchAll(/<input\b[^>]*>/gi)) {
    const name = attribute(tag, 'name')
    const type = attribute(tag, 'type') ?? 'text'
    if (!name) continue
    if (type === 'password') body.set(name, password)
    else if (type === 'text' || type === 'email') body.set(name, account)
    else body.set(name, attribute(tag, 'value') ?? '')
  }
  return {
    url: new URL(attribute(form[1], 'action') ?? '', url),
    request: { method: 'POST', body, headers: { origin: url.origin } },
  }
}

function attribute(tag, name) {
  const found = new RegExp(`\\s${name}="([^"]*)"`, 'i').exec(tag)
  return found?.[1].replace(/&#(\d+);/g, (_, n) => String.fromCharCode(n))
    .replaceAll('&lt;', '<').replaceAll('&gt;', '>').replaceAll('&quot;', '"').replaceAll('&amp;', '&')
}
