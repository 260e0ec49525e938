# What .ci/run does, in pieces. Everything works in a fresh clone with Go alone,
# but for interop, which wants HAProxy, NGINX and its stream module, Postfix, Dovecot,
# Chromium and Node, and builds Caddy, once, in the user's cache.

STATICCHECK = honnef.co/go/tools/cmd/staticcheck@v0.8.2
ALL         = ./... ./examples/...
FUZZTIME   ?= 10s

.PHONY: check test race fuzz bench interop machines soak

# Formatting, vet, staticcheck, and the module rules.
check:
	@test -z "$$(gofmt -l .)" || { echo "gofmt would change:"; gofmt -l .; exit 1; }
	go vet $(ALL)
	go run $(STATICCHECK) $(ALL)
	.ci/modules

test:
	go test $(ALL)

race:
	go test -race -shuffle=on $(ALL)

# Every fuzz target for FUZZTIME, a time or, as 5000x, so many inputs.
fuzz:
	.ci/fuzz $(FUZZTIME)

# What has a peer, or a naive way, prints it in the same run. Benchmarks of the first
# line do a fixed amount of work; benchstat reads all of it.
bench:
	go test -run '^$$' -bench . -benchtime 1x -p 1 ./proxyproto ./examples/bench
	go test -run '^$$' -bench . -benchtime 200ms -p 1 ./forwarded ./publicurl ./discovery

# Real proxies. Without PORTICO_INTEROP=required a missing one skips its tests.
interop:
	PORTICO_INTEROP=required go test -count=1 -v ./examples/interop/...

# What the README promises, on machines without programs, addresses or IPv6. Needs root.
machines:
	.ci/other-machines

# Load and faults for SOAKTIME, and 8,000 idle clients. Prints what the README says.
SOAKTIME ?= 60s
soak:
	PORTICO_SOAK=$(SOAKTIME) go test -count=1 -v -timeout 30m -p 1 -run Soak ./proxyproto ./examples/interop
