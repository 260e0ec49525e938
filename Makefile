# The parts of .ci/run. Everything except interop works in a fresh clone with Go alone.
# interop needs HAProxy, NGINX with its stream module, Postfix, Dovecot, Chromium and Node,
# and builds Caddy once in the user's cache.

STATICCHECK = honnef.co/go/tools/cmd/staticcheck@v0.8.2
ALL         = ./... ./examples/...
FUZZTIME   ?= 10s

.PHONY: check test race fuzz bench interop machines soak

# Formatting, vet, staticcheck, the words of the prose, and the module rules.
check:
	@test -z "$$(gofmt -l .)" || { echo "gofmt would change:"; gofmt -l .; exit 1; }
	go vet $(ALL)
	go run $(STATICCHECK) $(ALL)
	.ci/words
	.ci/modules

test:
	go test $(ALL)

race:
	go test -race -shuffle=on $(ALL)

# Every fuzz target for FUZZTIME: a duration, or a number of inputs such as 5000x.
fuzz:
	.ci/fuzz $(FUZZTIME)

# Benchmarks that have a peer print it in the same run. Benchmarks of the first line do a
# fixed amount of work. benchstat reads the output.
bench:
	go test -run '^$$' -bench . -benchtime 1x -p 1 ./proxyproto ./examples/bench
	go test -run '^$$' -bench . -benchtime 200ms -p 1 ./forwarded ./publicurl ./discovery

# Real proxies. Without PORTICO_INTEROP=required a missing one skips its tests.
interop:
	PORTICO_INTEROP=required go test -count=1 -v ./examples/interop/...

# The README's commands on machines without programs, addresses or IPv6. Needs root.
machines:
	.ci/other-machines

# Load and faults for SOAKTIME, and 8,000 idle clients. Prints the figures of BENCHMARKS.md.
SOAKTIME ?= 60s
soak:
	PORTICO_SOAK=$(SOAKTIME) go test -count=1 -v -timeout 30m -p 1 -run Soak ./proxyproto ./examples/interop
