package interop

import "testing"

// ended returns a way on which the proxy ends the client's TLS.
func ended(door, listener string, seenTLS bool, o offer) way {
	return way{door: door, listener: listener, tls: true, endedBy: endedByProxy, seenTLS: seenTLS, offer: o}
}

// terminated returns the TLS doors of tls-terminated, in front of plain listeners.
func terminated(seenTLS bool, o offer) []way {
	return []way{
		ended("submissions", "submission", seenTLS, o),
		ended("imaps", "imap", seenTLS, o),
		ended("pop3s", "pop3", seenTLS, o),
		ended("https", "http", seenTLS, o),
	}
}

// plainDoors are the doors without TLS, which only HAProxy's file has.
var plainDoors = []way{
	plainPassed("smtp"), plainPassed("submission"), plainPassed("imap"), plainPassed("pop3"),
	{door: "http", listener: "http"},
}

const terminatedListeners = "TLS_TERMINATED=smtp,submission,imap,pop3,http"

func TestHAProxyEndsTLSReportingIt(t *testing.T) {
	haproxyBinary(t)
	m := startMailfront(t)
	p := startHAProxy(t, m, "tls-terminated.cfg", nil)
	tryWays(t, p, sendV2TLS.sendProxy, 2, terminated(true, atOnce), ipv4, ipv6)
	tryWays(t, p, sendV2TLS.sendProxy, 2, plainDoors, ipv4, ipv6)
}

// The header reports that a client does not use TLS, which has precedence over the setting.
func TestPlainClientOverridesTLSSetting(t *testing.T) {
	haproxyBinary(t)
	m := startMailfront(t, terminatedListeners)
	p := startHAProxy(t, m, "tls-terminated.cfg", nil)
	tryWays(t, p, sendV2TLS.sendProxy+", TERMINATED", 2, terminated(true, atOnce), ipv4)
	tryWays(t, p, sendV2TLS.sendProxy+", TERMINATED", 2, plainDoors, ipv4)
}

// The header does not report the client's TLS, which then does not count. The server still offers
// STARTTLS.
func TestHAProxyEndsTLSUnreported(t *testing.T) {
	haproxyBinary(t)
	for _, h := range []sending{sendV1, sendV2} {
		m := startMailfront(t)
		p := startHAProxy(t, m, "tls-terminated.cfg", map[string]string{"SEND_PROXY": h.sendProxy})
		tryWays(t, p, h.sendProxy, h.version, terminated(false, afterStartTLS), ipv4)
	}
}

func TestHAProxyEndsTLSBySetting(t *testing.T) {
	haproxyBinary(t)
	for _, h := range []sending{sendV1, sendV2} {
		m := startMailfront(t, terminatedListeners)
		p := startHAProxy(t, m, "tls-terminated.cfg", map[string]string{"SEND_PROXY": h.sendProxy})
		tryWays(t, p, h.sendProxy+", TERMINATED", h.version, terminated(true, atOnce), ipv4)
	}
}

func TestNGINXEndsTLSUnreported(t *testing.T) {
	nginxBinary(t)
	m := startMailfront(t)
	p := startNGINX(t, m, "tls-terminated.conf", nil)
	tryWays(t, p, sentByNGINX, 1, terminated(false, afterStartTLS), ipv4, ipv6)
}

func TestNGINXEndsTLSBySetting(t *testing.T) {
	nginxBinary(t)
	m := startMailfront(t, terminatedListeners)
	p := startNGINX(t, m, "tls-terminated.conf", nil)
	tryWays(t, p, sentByNGINX+", TERMINATED", 1, terminated(true, atOnce), ipv4, ipv6)
}
