// What to copy: the lines for your proxy. {prefix} is the path of the public base URL,
// {host} its host and {url} all of it; 127.0.0.1:8080 stands for the server. What to
// change: the products, to those that you support.

package main

import (
	"strings"

	"github.com/seed-94e48765/portico/discovery/verify"
	"github.com/seed-94e48765/portico/publicurl"
)

// The products, in the order of the lines of each fix.
var products = []string{"HAProxy", "NGINX", "Caddy", "Traefik"}

// addFixes collects what to do about the mistakes that were found.
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
			continue // no proxy causes it
		}
		for i, product := range products {
			d.Fixes[f.Mistake][product] = fill.Replace(forMount(lines[i], base))
		}
	}
}

// forMount leaves out lines about the path itself for a base without one.
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

// meaning says what a mistake is, for all products.
var meaning = map[verify.Mistake]string{
	verify.MistakeWellKnown:     "The proxy does not pass these well-known locations on to the server. They are at the\norigin, not below the path of the server. Put them before any catch-all.",
	verify.MistakePrefix:        "The proxy does not pass on what is below the public URL.",
	verify.MistakePublicURL:     "The server does not know its public URL. Set it there, for mailfront by\nMAILFRONT_PUBLIC_URL. The lines below are for servers that make URLs from the request.",
	verify.MistakeBase:          "The server is published at another URL than the one that was checked. If clients use that\nURL, run doctor with it. Otherwise set the server's public URL, for mailfront by MAILFRONT_PUBLIC_URL.",
	verify.MistakeRedirect:      "A redirect is made from the proxy's own side. Portico's are whole and need no rewriting.",
	verify.MistakeCache:         "A cache keeps documents without asking. Empty it, and let it heed Cache-Control.",
	verify.MistakeBody:          "Something rewrites bodies on their way.",
	verify.MistakeCORS:          "The proxy removes the CORS fields, doubles them or answers OPTIONS itself.\nThe server sends them: once is enough.",
	verify.MistakeBackend:       "The proxy does not reach the server, or not in time. Try -connect.",
	verify.MistakeAccess:        "The proxy keeps documents from clients that are not signed in yet.",
	verify.MistakeAuthorization: "A field of the sign-in gets lost on its way.",
	verify.MistakeMethod:        "The proxy lets only some methods pass. Sign-in needs POST, and calendar clients need\nPROPFIND and REPORT.",
	verify.MistakeHTTPSForced:   "The server redirects http to https, and sees the proxy's connection only, which is http.\nFor mailfront set MAILFRONT_FORWARDED_PROTO=true.",
	verify.MistakeProxyHeader:   "The proxy sends a PROXY header to a port that does not expect one, or none to a port\nthat requires it. For mailfront see MAILFRONT_HTTP_CLIENT and MAILFRONT_TRUSTED_PROXIES.",
	verify.MistakeNodes:         "Several nodes answer, with documents or signing keys of their own. For mailfront set the\nsame MAILFRONT_PUBLIC_URL and MAILFRONT_STORE on all. Balancing by client, as below, only hides it.",
	verify.MistakeCertificate:   "Clients refuse the certificate: a name or the intermediate certificates are missing, or\nit has expired. The file needs the server's certificate first and the intermediates behind it.",
}

var fixes = map[verify.Mistake][4]string{
	verify.MistakeWellKnown: {
		`acl well-known path /.well-known/oauth-authorization-server{prefix} {prefix}/.well-known/openid-configuration
acl well-known path /.well-known/oauth-protected-resource{prefix}
acl well-known path_beg /.well-known/oauth-protected-resource{prefix}/
acl well-known path /.well-known/jmap /.well-known/caldav /.well-known/carddav
use_backend mail if well-known    # before the other use_backend lines: the first that matches counts`,
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
location {prefix}/ { proxy_pass http://127.0.0.1:8080; }    # no path behind the address: it is passed on whole`,
		`@mail path {prefix} {prefix}/*
handle @mail {
	reverse_proxy 127.0.0.1:8080
}`,
		"http:\n  routers:\n    mail:\n      rule: Host(`{host}`) && (Path(`{prefix}`) || PathPrefix(`{prefix}/`))\n      service: mail",
	},
	verify.MistakePublicURL: {
		`http-request set-header X-Forwarded-Proto https if { ssl_fc }
http-request set-header X-Forwarded-Host %[req.hdr(host)]
# and no "http-request set-header Host"`,
		`proxy_set_header Host $http_host;    # with the port, which $host has not, and not $proxy_host
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
absolute_redirect off;    # NGINX's own redirects then have no host and no port
location = {prefix} { proxy_pass http://127.0.0.1:8080; }    # else "location {prefix}/" redirects`,
		`# Remove "redir" and "header_down Location" for these paths.
# Use handle, not handle_path, so that the server sees {prefix}.`,
		`# Remove redirectRegex and redirectScheme with a port from the router's middlewares. With
# stripPrefix set the public URL of the server to {url}, or remove stripPrefix.`,
	},
	verify.MistakeCache: {
		`# Leave these paths out of the cache:
http-request cache-use pages unless { path_sub /.well-known/ } || { path_beg {prefix}/jmap/ {prefix}/api/ }`,
		`proxy_cache off;    # in the locations of the server
# Where a cache must be: remove proxy_cache_valid and proxy_ignore_headers Cache-Control.`,
		`# Caddy keeps nothing by itself. With a cache module leave these paths out:
@cached not path */.well-known/* {prefix}/jmap/* {prefix}/api/*`,
		`# Traefik keeps nothing by itself. Remove the plugin of the cache, or the headers middleware that
# sets Cache-Control, from the router.`,
	},
	verify.MistakeBody: {
		`# Remove Lua and SPOE filters that change bodies from this backend.`,
		`# Remove every sub_filter from the locations of the server. A location without one inherits those of
# the server block: give "sub_filter_types none/none;" there.`,
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
# middleware: with them Traefik answers OPTIONS itself.`,
	},
	verify.MistakeBackend: {
		`server mail 127.0.0.1:8080 check     # HTTPS there: add "ssl verify required ca-file …"
# send-proxy-v2 exactly if the server's listener expects a PROXY header
timeout server 1m`,
		`proxy_pass http://127.0.0.1:8080;    # https:// exactly if the server does TLS there
proxy_read_timeout 60s;`,
		`reverse_proxy 127.0.0.1:8080 {       # https://127.0.0.1:8443 exactly if the server does TLS there
	transport http {
		response_header_timeout 60s
	}
}`,
		`http:
  services:
    mail:
      loadBalancer:
        servers:
          - url: http://127.0.0.1:8080    # https:// exactly if the server does TLS there`,
	},
	verify.MistakeAccess: {
		`http-request auth unless { path_sub /.well-known/ } || { path_beg {prefix}/api/discover }`,
		`location ^~ /.well-known/ {    # ^~ comes before "location ~ /\." that denies hidden files
	auth_basic off;
	allow all;
	proxy_pass http://127.0.0.1:8080;
}`,
		`@private not path */.well-known/* {prefix}/api/discover*
basic_auth @private {
	…
}`,
		`# Give the well-known paths a router of their own, without basicAuth, forwardAuth and ipAllowList.`,
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
		`server mail 127.0.0.1:8080 send-proxy-v2    # exactly if the server's listener expects a PROXY header`,
		`# stream: "proxy_protocol on;" exactly if the server's listener expects a PROXY header.
# http: NGINX sends none to the server. Use a listener without the PROXY protocol and X-Forwarded-For.`,
		`reverse_proxy 127.0.0.1:8080 {
	transport http {
		proxy_protocol v2    # exactly if the server's listener expects a PROXY header
	}
}`,
		`tcp:
  services:
    mail:
      loadBalancer:
        proxyProtocol: {version: 2}    # exactly if the server's listener expects a PROXY header
# http: Traefik sends none to the server. Use a listener without the PROXY protocol.`,
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
		`bind :443 ssl crt /etc/haproxy/certs/    # a file for each certificate: fullchain.pem, then privkey.pem
# certbot certonly -d {host} -d autoconfig.example.com -d mta-sts.example.com`,
		`ssl_certificate     fullchain.pem;    # not cert.pem
ssl_certificate_key privkey.pem;
# certbot certonly -d {host} -d autoconfig.example.com -d mta-sts.example.com`,
		`# Caddy gets a certificate for every site address: add the hosts to it.
{host}, autoconfig.example.com, mta-sts.example.com {
	reverse_proxy 127.0.0.1:8080
}`,
		"# Traefik gets a certificate for every Host of a rule with tls.certResolver. From files:\ntls:\n  certificates:\n    - certFile: fullchain.pem    # not cert.pem\n      keyFile: privkey.pem",
	},
}
