// Package differential contains tests that compare Portico with other implementations of
// the same standards. Fuzz tests give both the same input. Other tests compare the policies
// and names of go-proxyproto with MIGRATION.md.
//
// The examples module requires the newest version of each implementation. The root module
// requires the oldest version of go-proxyproto that its code allows.
package differential
