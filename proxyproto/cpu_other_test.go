//go:build !unix

package proxyproto_test

import "time"

// cpuTime is not known here: the ratios are not a number.
func cpuTime() time.Duration { return 0 }
