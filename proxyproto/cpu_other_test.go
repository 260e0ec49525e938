//go:build !unix

package proxyproto_test

import "time"

// cpuTime returns 0, because the time is not known here. The ratios are NaN.
func cpuTime() time.Duration { return 0 }
