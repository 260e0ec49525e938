// Package interop contains tests only. They run real HAProxy, NGINX, Caddy and Traefik with
// the configurations of examples/proxies in front of mailfront, and connect to them with real
// clients. The client is 127.0.0.77 or ::1. The proxy connects from 127.0.0.1, the only
// address that mailfront trusts.
//
//	apt-get install haproxy nginx libnginx-mod-stream postfix dovecot-imapd chromium nodejs npm \
//		msmtp mpop isync libsasl2-modules-kdexoauth2
//	PORTICO_INTEROP=required go test -count=1 -v ./examples/interop
//
// Tests whose proxy is not installed are skipped, or fail with PORTICO_INTEROP=required, which
// also builds Caddy in the user's cache. Traefik is never required. PORTICO_HAPROXY, PORTICO_NGINX, PORTICO_CADDY, PORTICO_TRAEFIK,
// PORTICO_POSTFIX, PORTICO_DOVECOT, PORTICO_CHROMIUM, PORTICO_NPM,
// PORTICO_MSMTP, PORTICO_MPOP and PORTICO_MBSYNC name other
// binaries than those that are found. Node must be version 20 or later. Postfix and Dovecot
// need root. With -v the output ends with tables of the tests that ran, the matrix of
// TestMatrix, and its cells that did not run or cannot exist.
package interop
