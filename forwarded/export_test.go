package forwarded

// For the tests, which are in package forwarded_test.
const (
	MaxToken   = maxToken
	MaxElement = maxElement
	MaxPairs   = maxPairs
)
