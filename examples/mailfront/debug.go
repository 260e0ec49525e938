package main

import (
	"fmt"
	"net/http"
	"reflect"
)

// statistics is a named group of numbers.
type statistics struct {
	Name   string
	Rows   []statistic
	Zeroes string // names of the numbers that are zero
}

type statistic struct{ Name, Value string }

// debug serves the page of the counters to the administrator.
func (a *admin) debug(w http.ResponseWriter, r *http.Request) {
	p := a.newPage(r)
	if p.session == nil {
		a.back(w, r)
		return
	}
	for _, l := range a.f.listeners {
		for _, s := range l.sockets {
			p.Statistics = append(p.Statistics, newStatistics(l.name+" "+s.inner.Addr().String(), s.proxy.Stats()))
		}
	}
	p.Statistics = append(p.Statistics, newStatistics("limits and bans", a.f.guard.Counts()))
	a.show(w, r, http.StatusOK, "debug", p)
}

// newStatistics returns the fields of a struct of numbers.
func newStatistics(name string, numbers any) statistics {
	s := statistics{Name: name}
	v := reflect.ValueOf(numbers)
	for i := range v.NumField() {
		field := v.Type().Field(i).Name
		if v.Field(i).IsZero() {
			if s.Zeroes != "" {
				s.Zeroes += ", "
			}
			s.Zeroes += field
			continue
		}
		s.Rows = append(s.Rows, statistic{field, fmt.Sprint(v.Field(i))})
	}
	return s
}
