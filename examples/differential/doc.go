// Package differential compares Portico with other implementations of the same
// standards: in fuzz tests, on the same input, and by their settings. MIGRATION.md has the
// policies of go-proxyproto and all its names; tests compare the page with the package.
// The peers are required by the examples module in their newest version; the root module's
// requirement of go-proxyproto is as low as its code allows.
package differential
