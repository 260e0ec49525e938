// Package dnszone contains tests only. They parse the zone-file text of discovery.Records
// with github.com/miekg/dns and compare the records.
package dnszone
