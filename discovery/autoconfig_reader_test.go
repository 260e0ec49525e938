package discovery

import (
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// An element is an element of a document, without interpretation.
type element struct {
	name     string
	attrs    map[string]string
	text     string
	children []*element
}

// readElements reads a document. It refuses directives, processing instructions after the first,
// name spaces and text between elements, because strict readers may do so.
func readElements(text string) (*element, error) {
	if !strings.HasPrefix(text, `<?xml version="1.0" encoding="UTF-8"?>`) {
		return nil, errors.New("no XML header in UTF-8, or something before it")
	}
	d := xml.NewDecoder(strings.NewReader(text))
	root := new(element)
	open := []*element{root}
	instructions := 0
	for {
		token, err := d.Token()
		if err == io.EOF {
			break
		}
		if err != nil {
			return nil, err
		}
		top := open[len(open)-1]
		switch t := token.(type) {
		case xml.StartElement:
			e := &element{name: t.Name.Local, attrs: map[string]string{}}
			if t.Name.Space != "" {
				return nil, fmt.Errorf("%s has a name space", e.name)
			}
			for _, a := range t.Attr {
				e.attrs[a.Name.Local] = a.Value
			}
			top.children = append(top.children, e)
			open = append(open, e)
		case xml.EndElement:
			open = open[:len(open)-1]
		case xml.CharData:
			top.text += string(t)
		case xml.ProcInst:
			if instructions++; instructions > 1 {
				return nil, errors.New("a processing instruction")
			}
		default:
			return nil, fmt.Errorf("%T", t)
		}
	}
	if len(root.children) != 1 {
		return nil, fmt.Errorf("%d root elements", len(root.children))
	}
	return root.children[0], nil
}

func (e *element) all(name string) []*element {
	var found []*element
	for _, c := range e.children {
		if c.name == name {
			found = append(found, c)
		}
	}
	return found
}

func (e *element) one(name string) *element {
	if found := e.all(name); len(found) == 1 {
		return found[0]
	}
	return &element{}
}

// checkAutoconfig reads a document by draft-ietf-mailmaint-autoconfig-06 section 3 and its schema.
// It does not permit extensions.
func checkAutoconfig(text string) (*element, error) {
	root, err := readElements(text)
	if err != nil {
		return nil, err
	}
	server := func(types ...string) func(*element) error {
		return func(e *element) error { return checkServer(e, types) }
	}
	leaf := func(most int) func(*element) error {
		return func(e *element) error {
			if len(e.children) > 0 || len(e.attrs) > 0 || strings.TrimSpace(e.text) != e.text || e.text == "" || len([]rune(e.text)) > most {
				return fmt.Errorf("%s: %q", e.name, e.text)
			}
			return nil
		}
	}
	if root.name != "clientConfig" || root.attrs["version"] != "1.2" || len(root.attrs) != 1 {
		return nil, fmt.Errorf("root %s %v", root.name, root.attrs)
	}
	if err := checkChildren(root, map[string]func(*element) error{
		"emailProvider": func(p *element) error {
			if len(p.attrs) != 1 || p.attrs["id"] == "" {
				return fmt.Errorf("emailProvider: %v", p.attrs)
			}
			return checkChildren(p, map[string]func(*element) error{
				"domain":           leaf(253),
				"displayName":      leaf(60),
				"displayShortName": leaf(20),
				"incomingServer":   server("imap", "pop3", "jmap"),
				"outgoingServer":   server("smtp"),
				"documentation": func(e *element) error {
					if u, err := url.Parse(e.attrs["url"]); err != nil || !u.IsAbs() || len(e.attrs) != 1 {
						return fmt.Errorf("documentation: %v", e.attrs)
					}
					return checkChildren(e, nil)
				},
			})
		},
		"addressbook": server("carddav"),
		"calendar":    server("caldav"),
		"fileShare":   server("webdav"),
		"setupServer": server("managesieve"),
		"oAuth2": func(e *element) error {
			return checkChildren(e, map[string]func(*element) error{
				"authURL": leaf(999), "tokenURL": leaf(999), "issuer": leaf(999), "scope": leaf(999), "clientID": leaf(999),
			})
		},
	}); err != nil {
		return nil, err
	}
	if len(root.all("emailProvider")) != 1 || len(root.one("emailProvider").all("domain")) == 0 {
		return nil, errors.New("not one emailProvider with a domain")
	}
	return root, nil
}

func checkChildren(e *element, known map[string]func(*element) error) error {
	if strings.TrimSpace(e.text) != "" {
		return fmt.Errorf("%s: text %q", e.name, e.text)
	}
	for _, c := range e.children {
		check := known[c.name]
		if check == nil {
			return fmt.Errorf("%s in %s", c.name, e.name)
		}
		if err := check(c); err != nil {
			return err
		}
	}
	return nil
}

func checkServer(e *element, types []string) error {
	if !slices.Contains(types, e.attrs["type"]) || len(e.attrs) != 1 {
		return fmt.Errorf("%s: %v", e.name, e.attrs)
	}
	var methods []string
	count := map[string]int{}
	for _, c := range e.children {
		count[c.name]++
		if len(c.children) > 0 || strings.TrimSpace(c.text) != c.text || c.text == "" {
			return fmt.Errorf("%s: %q", c.name, c.text)
		}
		switch c.name {
		case "authentication":
			methods = append(methods, strings.TrimSpace(c.attrs["system"]+" "+c.text))
		case "port":
			if n, err := strconv.ParseUint(c.text, 10, 16); err != nil || n == 0 {
				return fmt.Errorf("port %q", c.text)
			}
		case "socketType":
			if c.text != "SSL" && c.text != "STARTTLS" {
				return fmt.Errorf("socketType %q", c.text)
			}
		case "url":
			if u, err := url.Parse(c.text); err != nil || u.Scheme != "https" || u.Host == "" {
				return fmt.Errorf("url %q", c.text)
			}
		case "username", "hostname":
		default:
			return fmt.Errorf("%s in %s", c.name, e.name)
		}
		if c.name != "authentication" && len(c.attrs) > 0 {
			return fmt.Errorf("%s: %v", c.name, c.attrs)
		}
	}
	allowed := []string{"OAuth2", "password-cleartext"}
	byURL := count["url"] == 1
	if byURL {
		allowed = []string{"OAuth2", "http Basic"}
	}
	for _, m := range methods {
		if !slices.Contains(allowed, m) {
			return fmt.Errorf("authentication %q", m)
		}
	}
	switch {
	case count["username"] != 1, len(methods) == 0:
		return fmt.Errorf("%s without user name or authentication", e.name)
	case byURL && count["hostname"]+count["port"]+count["socketType"] > 0,
		!byURL && (count["hostname"] != 1 || count["port"] != 1 || count["socketType"] != 1):
		return fmt.Errorf("%s: %v", e.name, count)
	}
	return nil
}

// summary returns a server as one line.
func (e *element) summary() string {
	s := e.attrs["type"]
	for _, c := range e.children {
		s += " " + c.text
	}
	return s
}

func summaries(list []*element) []string {
	var lines []string
	for _, e := range list {
		lines = append(lines, e.summary())
	}
	return lines
}
