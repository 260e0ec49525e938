// Package dnszone checks with github.com/miekg/dns that another DNS library reads the records
// back from the zone-file text of discovery.Records. It has tests only.
package dnszone
