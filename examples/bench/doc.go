// Package bench holds the benchmarks that compare Portico with other modules.
// It has no code of its own; it is here, in the module of the examples, so that
// those modules are not requirements of Portico.
//
// Each benchmark runs Portico and its peer in turns within one run and prints
// both and their ratio (below 1: Portico takes less):
//
//	go test -bench . ./examples/bench
//
// The folders have commands: relay compares proxies, mailfront compares the sample with the
// servers that it is made of, growth prints how cost grows, and nodes measures several nodes
// with one store. BENCHMARKS.md has their results.
package bench
