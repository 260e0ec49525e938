//go:build !unix

package proxyproto_test

import (
	"testing"

	"github.com/seed-94e48765/portico/proxyproto"
)

func canExamine() bool { return false }

func awaitBytes(*testing.T, *proxyproto.Conn) {}
