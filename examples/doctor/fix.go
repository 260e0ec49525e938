// What to copy: the lines for your proxy. {prefix} is replaced by the path of the public
// base URL, {host} by its host and {url} by the URL. 127.0.0.1:8080 is the server. What to
// change: the products, to those that you support.

package main

import (
	"strings"

	"github.com/seed-94e48765/portico/discovery/verify"
	"github.com/seed-94e48765/portico/publicurl"
)

// The products, in the order of the lines of each fix.
var products = []string{"HAProxy", "NGINX", "Caddy", "Traefik"}

// addFixes sets Fixes for the mistakes in the findings.
func (d *diagnosis) addFixes(base publicurl.Base) {
	fill := strings.NewReplacer("{prefix}", base.Prefix(), "{host}", base.Hostname(), "{url}", base.String())
	d.Fixes = make(map[verify.Mistake]map[string]string)
	for _, f := range d.findings() {
		if meaning[f.Mistake] == "" || d.Fixes[f.Mistake] != nil {
			continue
		}
		d.Fixes[f.Mistake] = make(map[string]string)
		lines, ok := fixes[f.Mistake]
		if !ok {
			continue // not caused by a proxy
		}
		for i, product := range products {
			d.Fixes[f.Mistake][product] = fill.Replace(forMount(lines[i], base))
		}
	}
}

// forMount removes the lines about the path of the base if the base has none.
func forMount(lines string, base publicurl.Base) string {
	if base.Prefix() != "" {
		return lines
	}
	var kept []string
	for line := range strings.SplitSeq(lines, "\n") {
		if !strings.Contains(line, "= {prefix} {") && !strings.Contains(line, "{prefix} }") && !strings.Contains(line, "sees {prefix}") {
			kept = append(kept, line)
		}
	}
	return strings.Join(kept, "\n")
}

// meaning explains a mistake for all products.
var meaning = map[verify.Mistake]string{
	verify.MistakeWellKnown:     "The proxy does not pass these well-known locations on to the server. They are at the\norigin, not below the path of the server. Put the lines before any catch-all.",
	verify.MistakePrefix:        "The proxy does not pass on requests below the public URL.",
	verify.MistakePublicURL:     "The public URL of the server is not set, or differs. Set it at the server (mailfront:\nMAILFRONT_PUBLIC_URL). The lines below are for servers that make URLs from the request.",
	verify.MistakeBase:          "The server is published at another URL than the one that was checked. If clients use that\nURL, run doctor with it. Otherwise set the public URL of the server (mailfront: MAILFRONT_PUBLIC_URL).",
	verify.MistakeRedirect:      "The proxy makes or rewrites a redirect. Portico's redirects are absolute URLs and need no rewriting.",
	verify.MistakeCache:         "A cache serves documents without revalidation. Clear it, and make it respect Cache-Control.",
	verify.MistakeBody:          "The proxy rewrites bodies.",
	verify.MistakeCORS:          "The proxy removes or duplicates the CORS fields, or answers OPTIONS itself.\nThe server sends these fields; the proxy must not change them.",
	verify.MistakeBackend:       "The proxy does not reach the server, or the server does not answer in time. Try -connect.",
	verify.MistakeAccess:        "The proxy requires a sign-in for documents that clients need before they sign in.",
	verify.MistakeAuthorization: "The proxy removes the Authorization or WWW-Authenticate field.",
	verify.MistakeMethod:        "The proxy allows some methods only. Sign-in needs POST, and calendar clients need\nPROPFIND and REPORT.",
	verify.MistakeHTTPSForced:   "The server redirects http to https, and the proxy connects to it by http. The server\nneeds X-Forwarded-Proto (mailfront: set MAILFRONT_FORWARDED_PROTO=true).",
	verify.MistakeProxyHeader:   "The proxy sends a PROXY header to a port that does not expect it, or omits the header at\na port that requires it. For mailfront see MAILFRONT_HTTP_CLIENT and MAILFRONT_TRUSTED_PROXIES.",
	verify.MistakeNodes:         "Several nodes answer, with different documents or signing keys. For mailfront set the\nsame MAILFRONT_PUBLIC_URL and MAILFRONT_STORE on all nodes. Balancing by client, as below, only hides the difference.",
	verify.MistakeCertificate:   "Clients refuse the certificate, because it lacks a name or the intermediate certificates, or\nhas expired. The file needs the server's certificate first, then the intermediates.",
}

var fixes = map[verify.Mistake][4]string{
	verify.MistakeWellKnown: {
		`acl well-known path /.well-known/oauth-authorization-server{prefix} {prefix}/.well-known/openid-configuration
acl well-known path /.well-known/oauth-protected-resource{prefix}
acl well-known path_beg /.well-known/oauth-protected-resource{prefix}/
acl well-known path /.well-known/jmap /.well-known/caldav /.well-known/carddav
use_backend mail if well-known    # before the other use_backend lines, since the first match is used`,
		`location = /.well-known/oauth-authorization-server{prefix} { proxy_pass http://127.0.0.1:8080; }
location = {prefix}/.well-known/openid-configuration       { proxy_pass http://127.0.0.1:8080; }
location = /.well-known/oauth-protected-resource{prefix}   { proxy_pass http://127.0.0.1:8080; }
location ^~ /.well-known/oauth-protected-resource{prefix}/ { proxy_pass http://127.0.0.1:8080; }
location = /.well-known/jmap    { proxy_pass http://127.0.0.1:8080; }
location = /.well-known/caldav  { proxy_pass http://127.0.0.1:8080; }
location = /.well-known/carddav { proxy_pass http://127.0.0.1:8080; }`,
		`@well-known path /.well-known/oauth-authorization-server{prefix} {prefix}/.well-known/openid-configuration /.well-known/oauth-protected-resource{prefix} /.well-known/oauth-protected-resource{prefix}/* /.well-known/jmap /.well-known/caldav /.well-known/carddav
handle @well-known {
	reverse_proxy 127.0.0.1:8080
}`,
		"http:\n  routers:\n    mail-well-known:\n      rule: >-\n        Host(`{host}`) && (Path(`/.well-known/oauth-authorization-server{prefix}`) ||\n        Path(`{prefix}/.well-known/openid-configuration`) ||\n        PathPrefix(`/.well-known/oauth-protected-resource{prefix}`) ||\n        Path(`/.well-known/jmap`) || Path(`/.well-known/caldav`) || Path(`/.well-known/carddav`))\n      priority: 1000    # above the catch-all\n      service: mail",
	},
	verify.MistakePrefix: {
		`acl mail path {prefix}
acl mail path_beg {prefix}/
use_backend mail if mail`,
		`location = {prefix} { proxy_pass http://127.0.0.1:8080; }
location {prefix}/ { proxy_pass http://127.0.0.1:8080; }    # no path after the address, so that the whole path is passed on`,
		`@mail path {prefix} {prefix}/*
handle @mail {
	reverse_proxy 127.0.0.1:8080
}`,
		"http:\n  routers:\n    mail:\n      rule: Host(`{host}`) && (Path(`{prefix}`) || PathPrefix(`{prefix}/`))\n      service: mail",
	},
	verify.MistakePublicURL: {
		`http-request set-header X-Forwarded-Proto https if { ssl_fc }
http-request set-header X-Forwarded-Host %[req.hdr(host)]
# Remove "http-request set-header Host".`,
		`proxy_set_header Host $http_host;    # includes the port; $host does not, and $proxy_host is the server's own name
proxy_set_header X-Forwarded-Proto $scheme;`,
		`# Caddy passes Host on and sets X-Forwarded-Proto. Remove "header_up Host {upstream_hostport}".
# Behind another proxy:
servers {
	trusted_proxies static private_ranges
}`,
		`http:
  services:
    mail:
      loadBalancer:
        passHostHeader: true
# Behind another proxy: entryPoints.websecure.forwardedHeaders.trustedIPs`,
	},
	verify.MistakeRedirect: {
		`# Remove "http-response replace-header Location" and "redirect prefix".
# Redirect to the public URL only: http-request redirect location {url}/ code 308 if { path {prefix} }`,
		`proxy_redirect off;
absolute_redirect off;    # NGINX's own redirects then omit host and port
location = {prefix} { proxy_pass http://127.0.0.1:8080; }    # otherwise "location {prefix}/" redirects`,
		`# Remove "redir" and "header_down Location" for these paths.
# Use handle, not handle_path, so that the server sees {prefix}.`,
		`# Remove redirectRegex and redirectScheme with a port from the router's middlewares. With
# stripPrefix set the public URL of the server to {url}, or remove stripPrefix.`,
	},
	verify.MistakeCache: {
		`# Exclude these paths from the cache:
http-request cache-use pages unless { path_sub /.well-known/ } || { path_beg {prefix}/jmap/ {prefix}/api/ }`,
		`proxy_cache off;    # in the locations of the server
# If you need a cache, remove proxy_cache_valid and proxy_ignore_headers Cache-Control.`,
		`# Caddy has no cache of its own. Exclude these paths from a cache module:
@cached not path */.well-known/* {prefix}/jmap/* {prefix}/api/*`,
		`# Traefik has no cache of its own. Remove the cache plugin, or the headers middleware that sets
# Cache-Control, from the router.`,
	},
	verify.MistakeBody: {
		`# Remove Lua and SPOE filters that change bodies from this backend.`,
		`# Remove every sub_filter from the locations of the server. A location without sub_filter inherits
# those of the server block; disable them there with "sub_filter_types none/none;".`,
		`# Remove "replace", "templates" and other handlers that change bodies.`,
		`# Remove plugins such as rewrite-body from the router's middlewares.`,
	},
	verify.MistakeCORS: {
		`# Remove: http-response set-header / add-header / del-header Access-Control-…
# Remove: http-request return … if METH_OPTIONS`,
		`# Remove: add_header Access-Control-…, proxy_hide_header Access-Control-…,
# and: if ($request_method = OPTIONS) { return 204; }`,
		`# Remove: header Access-Control-…, header_down -Access-Control-…, and respond for method OPTIONS`,
		`# Remove accessControlAllowOriginList and the other accessControl… options of the headers
# middleware. With these options Traefik answers OPTIONS itself.`,
	},
	verify.MistakeBackend: {
		`server mail 127.0.0.1:8080 check     # for HTTPS add "ssl verify required ca-file …"
# Add send-proxy-v2 if and only if the server's listener expects a PROXY header.
timeout server 1m`,
		`proxy_pass http://127.0.0.1:8080;    # https:// if and only if the server uses TLS on this port
proxy_read_timeout 60s;`,
		`reverse_proxy 127.0.0.1:8080 {       # https://127.0.0.1:8443 if and only if the server uses TLS on this port
	transport http {
		response_header_timeout 60s
	}
}`,
		`http:
  services:
    mail:
      loadBalancer:
        servers:
          - url: http://127.0.0.1:8080    # https:// if and only if the server uses TLS on this port`,
	},
	verify.MistakeAccess: {
		`http-request auth unless { path_sub /.well-known/ } || { path_beg {prefix}/api/discover }`,
		`location ^~ /.well-known/ {    # ^~ has precedence over a "location ~ /\." that denies hidden files
	auth_basic off;
	allow all;
	proxy_pass http://127.0.0.1:8080;
}`,
		`@private not path */.well-known/* {prefix}/api/discover*
basic_auth @private {
	…
}`,
		`# Add a separate router for the well-known paths, without basicAuth, forwardAuth and ipAllowList.`,
	},
	verify.MistakeAuthorization: {
		`# Remove: http-request del-header Authorization, http-response del-header WWW-Authenticate,
# and http-request auth for the paths of the server`,
		`proxy_set_header Authorization $http_authorization;
# Remove: auth_basic, proxy_hide_header WWW-Authenticate`,
		`# Remove: header_up -Authorization, header_down -WWW-Authenticate, and basic_auth for the server`,
		`# Set removeHeader: false in basicAuth, or remove basicAuth and forwardAuth from the router.`,
	},
	verify.MistakeMethod: {
		`# Remove: http-request deny unless METH_GET || METH_POST …`,
		`# Remove: limit_except, and: if ($request_method !~ ^(GET|POST)$) { return 405; }`,
		`# Remove method matchers such as "@get method GET POST" from the server's handlers.`,
		"# Remove Method(`GET`) from the router's rule.",
	},
	verify.MistakeHTTPSForced: {
		`http-request set-header X-Forwarded-Proto https if { ssl_fc }
http-request set-header X-Forwarded-Proto http unless { ssl_fc }`,
		`proxy_set_header X-Forwarded-Proto $scheme;`,
		`# Caddy sets X-Forwarded-Proto. Behind another proxy:
servers {
	trusted_proxies static private_ranges
}`,
		`# Traefik sets X-Forwarded-Proto. Behind another proxy: entryPoints.websecure.forwardedHeaders.trustedIPs`,
	},
	verify.MistakeProxyHeader: {
		`server mail 127.0.0.1:8080 send-proxy-v2    # if and only if the server's listener expects a PROXY header`,
		`# stream: "proxy_protocol on;" if and only if the server's listener expects a PROXY header.
# http: NGINX cannot send PROXY headers to the server. Use a listener with X-Forwarded-For instead.`,
		`reverse_proxy 127.0.0.1:8080 {
	transport http {
		proxy_protocol v2    # if and only if the server's listener expects a PROXY header
	}
}`,
		`tcp:
  services:
    mail:
      loadBalancer:
        proxyProtocol: {version: 2}    # if and only if the server's listener expects a PROXY header
# http: Traefik cannot send PROXY headers to the server. Use a listener with X-Forwarded-For instead.`,
	},
	verify.MistakeNodes: {
		`# Until the nodes share their state, send a client to one node:
balance source
hash-type consistent`,
		`# Until the nodes share their state, send a client to one node:
upstream mail {
	ip_hash;
	server 10.0.0.1:8080;
	server 10.0.0.2:8080;
}`,
		`# Until the nodes share their state, send a client to one node:
reverse_proxy 10.0.0.1:8080 10.0.0.2:8080 {
	lb_policy client_ip_hash
}`,
		`# Until the nodes share their state, send a browser to one node:
http:
  services:
    mail:
      loadBalancer:
        sticky:
          cookie: {name: node}`,
	},
	verify.MistakeCertificate: {
		`bind :443 ssl crt /etc/haproxy/certs/    # one file per certificate, with fullchain.pem and then privkey.pem
# certbot certonly -d {host} -d autoconfig.example.com -d mta-sts.example.com`,
		`ssl_certificate     fullchain.pem;    # not cert.pem
ssl_certificate_key privkey.pem;
# certbot certonly -d {host} -d autoconfig.example.com -d mta-sts.example.com`,
		`# Caddy gets a certificate for every site address. Add the hosts to the addresses.
{host}, autoconfig.example.com, mta-sts.example.com {
	reverse_proxy 127.0.0.1:8080
}`,
		"# Traefik gets a certificate for every Host of a rule with tls.certResolver. From files:\ntls:\n  certificates:\n    - certFile: fullchain.pem    # not cert.pem\n      keyFile: privkey.pem",
	},
}
