package forwarded

// Names for the tests in package forwarded_test.
const (
	MaxToken   = maxToken
	MaxElement = maxElement
	MaxPairs   = maxPairs
)
