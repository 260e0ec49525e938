// Copy this file: it resolves result references (RFC 8620 section 3.7) for methods whose arguments
// are JSON. No changes are needed.

package main

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
)

// maxReferenced bounds the bytes that the references of a request may search. It also bounds the
// response: each of 16 calls could double the response of the previous call.
const maxReferenced = 16 << 20

// A jmapReference is a ResultReference (section 3.7).
type jmapReference struct {
	ResultOf *string `json:"resultOf"`
	Name     *string `json:"name"`
	Path     *string `json:"path"`
}

// A jmapError is an error of a method (section 3.6.2).
type jmapError struct {
	Type        string `json:"type"`
	Description string `json:"description,omitempty"`
}

func (e *jmapError) invocation(id string) jmapInvocation {
	arguments, err := json.Marshal(e)
	if err != nil {
		arguments = json.RawMessage(`{"type":"serverFail"}`) // not reached: strings can be marshaled
	}
	return jmapInvocation{Name: "error", Arguments: arguments, ID: id}
}

func invalidReference(format string, args ...any) *jmapError {
	return &jmapError{Type: "invalidResultReference", Description: fmt.Sprintf(format, args...)}
}

// A jmapResolver replaces the references in the arguments of the calls of one request.
type jmapResolver struct {
	responses []jmapInvocation // of the calls so far
	left      int              // bytes that remain of maxReferenced
}

// resolve returns arguments with every reference replaced by its value. Arguments without references
// are returned unchanged.
func (r *jmapResolver) resolve(arguments json.RawMessage) (json.RawMessage, *jmapError) {
	var members map[string]json.RawMessage
	if err := json.Unmarshal(arguments, &members); err != nil {
		return nil, &jmapError{Type: "invalidArguments", Description: "the arguments are not an object"}
	}
	references := make(map[string]json.RawMessage)
	for name, value := range members {
		if to, ok := strings.CutPrefix(name, "#"); ok {
			if _, both := members[to]; both {
				return nil, &jmapError{Type: "invalidArguments", Description: fmt.Sprintf("both %q and %q are set", to, name)}
			}
			references[to] = value
		}
	}
	if len(references) == 0 {
		return arguments, nil
	}
	for name, reference := range references {
		value, err := r.value(reference)
		if err != nil {
			return nil, err
		}
		delete(members, "#"+name)
		members[name] = value
	}
	resolved, err := json.Marshal(members)
	if err != nil {
		return nil, &jmapError{Type: "serverFail"}
	}
	return resolved, nil
}

// value returns the value that a reference refers to.
func (r *jmapResolver) value(b json.RawMessage) (json.RawMessage, *jmapError) {
	var reference jmapReference
	if err := json.Unmarshal(b, &reference); err != nil || reference.ResultOf == nil || reference.Name == nil || reference.Path == nil {
		return nil, invalidReference("a ResultReference has the strings resultOf, name and path")
	}
	for _, response := range r.responses {
		if response.ID != *reference.ResultOf {
			continue
		}
		if response.Name != *reference.Name { // only the first response with the id counts
			return nil, invalidReference("the response to %q is %q, not %q", response.ID, response.Name, *reference.Name)
		}
		value, ok := r.evaluate(response.Arguments, *reference.Path)
		if r.left < 0 {
			return nil, &jmapError{Type: "requestTooLarge", Description: fmt.Sprintf("the references look through more than %d bytes", maxReferenced)}
		}
		if !ok {
			return nil, invalidReference("the response to %q has nothing at %q", response.ID, *reference.Path)
		}
		return value, nil
	}
	return nil, invalidReference("no earlier call has the id %q", *reference.ResultOf)
}

var pointerEscapes = strings.NewReplacer("~1", "/", "~0", "~")

// evaluate returns the part of a valid JSON value that a JSON Pointer (RFC 6901) with the "*" of
// section 3.7 refers to. Numbers keep their spelling. Each step costs as much as it reads.
func (r *jmapResolver) evaluate(value json.RawMessage, path string) (json.RawMessage, bool) {
	if r.left -= len(value); r.left < 0 {
		return nil, false
	}
	if path == "" {
		return value, true
	}
	if path[0] != '/' {
		return nil, false
	}
	token, rest, more := strings.Cut(path[1:], "/")
	if more {
		rest = "/" + rest
	}
	var object map[string]json.RawMessage
	if isJSON(value, '{', &object) {
		member, ok := object[pointerEscapes.Replace(token)]
		if !ok {
			return nil, false
		}
		return r.evaluate(member, rest)
	}
	var array []json.RawMessage
	if !isJSON(value, '[', &array) {
		return nil, false
	}
	if token == "*" {
		return r.evaluateEach(array, rest)
	}
	i, err := strconv.ParseUint(token, 10, 31)
	if err != nil || token != strconv.FormatUint(i, 10) || i >= uint64(len(array)) {
		return nil, false
	}
	return r.evaluate(array[i], rest)
}

// evaluateEach evaluates "*": it applies the rest of the path to every item and joins arrays.
func (r *jmapResolver) evaluateEach(array []json.RawMessage, rest string) (json.RawMessage, bool) {
	all := []json.RawMessage{}
	for _, item := range array {
		value, ok := r.evaluate(item, rest)
		if !ok {
			return nil, false
		}
		var items []json.RawMessage
		if isJSON(value, '[', &items) {
			all = append(all, items...)
		} else {
			all = append(all, value)
		}
	}
	b, err := json.Marshal(all)
	return b, err == nil
}

// isJSON decodes a value if its first byte is first.
func isJSON(value json.RawMessage, first byte, into any) bool {
	return len(value) > 0 && value[0] == first && json.Unmarshal(value, into) == nil
}
