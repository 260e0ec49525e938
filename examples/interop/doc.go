// Package interop has tests only: real HAProxy, NGINX, Caddy and Traefik, running the
// configurations of examples/proxies, in front of mailfront, and real clients in
// front of them. The client is 127.0.0.77 or ::1, and the proxy connects from
// 127.0.0.1, the only address that mailfront trusts.
//
//	apt-get install haproxy nginx libnginx-mod-stream postfix dovecot-imapd chromium nodejs npm \
//		msmtp mpop isync libsasl2-modules-kdexoauth2
//	PORTICO_INTEROP=required go test -count=1 -v ./examples/interop
//
// Without PORTICO_INTEROP=required, tests whose proxy is not installed are
// skipped; with it Caddy is built, once, in the user's cache. Traefik is never
// required. PORTICO_HAPROXY, PORTICO_NGINX, PORTICO_CADDY, PORTICO_TRAEFIK,
// PORTICO_POSTFIX, PORTICO_DOVECOT, PORTICO_CHROMIUM, PORTICO_NPM,
// PORTICO_MSMTP, PORTICO_MPOP and PORTICO_MBSYNC name other
// binaries than those that are found. Node is 20 or later; Postfix and Dovecot want
// root. With -v tables end the output: all that ran, the matrix of TestMatrix, and
// the cells of it that did not run or cannot exist.
package interop
