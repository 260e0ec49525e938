// Package differential compares Portico with other implementations of the same
// standards, on the same input, in fuzz tests. The peers are required by the examples
// module in their newest version; the root module's requirement of go-proxyproto is as
// low as its code allows.
package differential
