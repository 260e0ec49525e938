// Package dnszone checks with github.com/miekg/dns, a DNS library that is none of
// ours, that the zone-file text of discovery.Records reads back as what it says. It
// has tests only.
package dnszone
