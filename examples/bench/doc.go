// Package bench contains benchmarks that compare Portico with other modules. It is in the
// module of the examples, so that the other modules are not requirements of Portico.
//
// Each benchmark runs Portico and its peer in turns within one run, and prints both values
// and their ratio. Portico uses less if the ratio is below 1:
//
//	go test -bench . ./examples/bench
//
// The folders contain commands. Relay compares proxies, mailfront compares the sample with
// the servers that it is made of, growth prints how cost grows, and nodes measures several
// nodes with one store. BENCHMARKS.md has the results.
package bench
