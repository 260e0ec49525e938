// Package interop has tests only: real HAProxy and NGINX, running the
// configurations of examples/proxies, in front of mailfront, and real clients in
// front of them. The client is 127.0.0.77 or ::1, and the proxy connects from
// 127.0.0.1, the only address that mailfront trusts.
//
//	apt-get install haproxy nginx libnginx-mod-stream
//	PORTICO_INTEROP=required go test -count=1 -v ./examples/interop
//
// Without PORTICO_INTEROP=required, tests whose proxy is not installed are
// skipped. PORTICO_HAPROXY and PORTICO_NGINX name other binaries than those that
// are found. With -v a table of all that ran ends the output.
package interop
