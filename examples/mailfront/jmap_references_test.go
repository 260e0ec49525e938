package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// RFC 8620 section 3.7.
func TestJMAPResultReferences(t *testing.T) {
	const first = `["Core/echo",{"list":[{"id":"a","n":9007199254740993,"to":["x","y"]},{"id":"b","n":1.0,"to":[]}],"a/b":{"m~n":null},"empty":[]},"0"]`
	const unmatched = `{"type":"invalidResultReference","description":`
	s := newSite(t, testBase, direct, nil)
	for _, test := range []struct {
		name, calls string // calls after the first one
		want        string // the last response; a prefix where it ends in ":"
	}{
		{name: "a member", calls: `["Core/echo",{"#x":{"resultOf":"0","name":"Core/echo","path":"/list"}},"1"]`,
			want: `["Core/echo",{"x":[{"id":"a","n":9007199254740993,"to":["x","y"]},{"id":"b","n":1.0,"to":[]}]},"1"]`},
		{name: "with other arguments", calls: `["Core/echo",{"z":1e2,"#x":{"resultOf":"0","name":"Core/echo","path":"/list/0/id"},"a":true},"1"]`,
			want: `["Core/echo",{"a":true,"x":"a","z":1e2},"1"]`},
		{name: "an item", calls: `["Core/echo",{"#x":{"resultOf":"0","name":"Core/echo","path":"/list/0/n"}},"1"]`, want: `["Core/echo",{"x":9007199254740993},"1"]`},
		{name: "of every item", calls: `["Core/echo",{"#x":{"resultOf":"0","name":"Core/echo","path":"/list/*/id"}},"1"]`, want: `["Core/echo",{"x":["a","b"]},"1"]`},
		{name: "of every item, arrays put together", calls: `["Core/echo",{"#x":{"resultOf":"0","name":"Core/echo","path":"/list/*/to"}},"1"]`, want: `["Core/echo",{"x":["x","y"]},"1"]`},
		{name: "of no item", calls: `["Core/echo",{"#x":{"resultOf":"0","name":"Core/echo","path":"/empty/*/id"}},"1"]`, want: `["Core/echo",{"x":[]},"1"]`},
		{name: "of every item of every item", calls: `["Core/echo",{"#x":{"resultOf":"0","name":"Core/echo","path":"/list/*/to/*"}},"1"]`, want: `["Core/echo",{"x":["x","y"]},"1"]`},
		{name: "escapes", calls: `["Core/echo",{"#x":{"resultOf":"0","name":"Core/echo","path":"/a~1b/m~0n"}},"1"]`, want: `["Core/echo",{"x":null},"1"]`},
		{name: "the whole", calls: `["Core/echo",{"y":1},"1"],["Core/echo",{"#x":{"resultOf":"1","name":"Core/echo","path":""}},"2"]`, want: `["Core/echo",{"x":{"y":1}},"2"]`},
		{name: "of a reference", calls: `["Core/echo",{"#x":{"resultOf":"0","name":"Core/echo","path":"/list/1/id"}},"1"],["Core/echo",{"#x":{"resultOf":"1","name":"Core/echo","path":"/x"}},"2"]`,
			want: `["Core/echo",{"x":"b"},"2"]`},
		{name: "an error", calls: `["None/get",{},"1"],["Core/echo",{"#x":{"resultOf":"1","name":"error","path":"/type"}},"2"]`, want: `["Core/echo",{"x":"unknownMethod"},"2"]`},
		{name: "the first of two with the id", calls: `["Core/echo",{"list":1},"0"],["Core/echo",{"#x":{"resultOf":"0","name":"Core/echo","path":"/list/1/id"}},"1"]`, want: `["Core/echo",{"x":"b"},"1"]`},
		{name: "nested is not a reference", calls: `["Core/echo",{"x":{"#y":1}},"1"]`, want: `["Core/echo",{"x":{"#y":1}},"1"]`},

		{name: "both", calls: `["Core/echo",{"x":1,"#x":{"resultOf":"0","name":"Core/echo","path":"/list"}},"1"]`, want: `["error",{"type":"invalidArguments","description":`},
		{name: "an unknown id", calls: `["Core/echo",{"#x":{"resultOf":"9","name":"Core/echo","path":"/list"}},"1"]`, want: `["error",` + unmatched},
		{name: "its own id", calls: `["Core/echo",{"#x":{"resultOf":"1","name":"Core/echo","path":""}},"1"]`, want: `["error",` + unmatched},
		{name: "a later id", calls: `["Core/echo",{"#x":{"resultOf":"2","name":"Core/echo","path":""}},"1"]`, want: `["error",` + unmatched},
		{name: "another name", calls: `["Core/echo",{"#x":{"resultOf":"0","name":"Email/get","path":"/list"}},"1"]`, want: `["error",` + unmatched},
		{name: "the name of a call that failed", calls: `["None/get",{},"1"],["Core/echo",{"#x":{"resultOf":"1","name":"None/get","path":"/list"}},"2"]`, want: `["error",` + unmatched},
		{name: "no such member", calls: `["Core/echo",{"#x":{"resultOf":"0","name":"Core/echo","path":"/none"}},"1"]`, want: `["error",` + unmatched},
		{name: "no such member of an item", calls: `["Core/echo",{"#x":{"resultOf":"0","name":"Core/echo","path":"/list/*/none"}},"1"]`, want: `["error",` + unmatched},
		{name: "no such item", calls: `["Core/echo",{"#x":{"resultOf":"0","name":"Core/echo","path":"/list/2"}},"1"]`, want: `["error",` + unmatched},
		{name: "the item after the last", calls: `["Core/echo",{"#x":{"resultOf":"0","name":"Core/echo","path":"/list/-"}},"1"]`, want: `["error",` + unmatched},
		{name: "a leading zero", calls: `["Core/echo",{"#x":{"resultOf":"0","name":"Core/echo","path":"/list/00"}},"1"]`, want: `["error",` + unmatched},
		{name: "* in an object", calls: `["Core/echo",{"#x":{"resultOf":"0","name":"Core/echo","path":"/a~1b/*"}},"1"]`, want: `["error",` + unmatched},
		{name: "below a string", calls: `["Core/echo",{"#x":{"resultOf":"0","name":"Core/echo","path":"/list/0/id/0"}},"1"]`, want: `["error",` + unmatched},
		{name: "below null", calls: `["Core/echo",{"#x":{"resultOf":"0","name":"Core/echo","path":"/a~1b/m~0n/x"}},"1"]`, want: `["error",` + unmatched},
		{name: "no slash", calls: `["Core/echo",{"#x":{"resultOf":"0","name":"Core/echo","path":"list"}},"1"]`, want: `["error",` + unmatched},
		{name: "no path", calls: `["Core/echo",{"#x":{"resultOf":"0","name":"Core/echo"}},"1"]`, want: `["error",` + unmatched},
		{name: "no object", calls: `["Core/echo",{"#x":"0"},"1"]`, want: `["error",` + unmatched},
		{name: "null", calls: `["Core/echo",{"#x":null},"1"]`, want: `["error",` + unmatched},
		{name: "an unknown method with a bad reference", calls: `["None/get",{"#x":null},"1"]`, want: `["error",{"type":"unknownMethod"},"1"]`},
	} {
		t.Run(test.name, func(t *testing.T) {
			response, answer := s.do(http.MethodPost, "/jmap/", `{"using":["urn:ietf:params:jmap:core"],"methodCalls":[`+first+","+test.calls+`]}`,
				"Authorization", "Bearer "+testPassword, "Content-Type", "application/json")
			require.Equal(t, http.StatusOK, response.StatusCode, answer)
			var got struct{ MethodResponses []json.RawMessage }
			require.NoError(t, json.Unmarshal([]byte(answer), &got))
			last := string(got.MethodResponses[len(got.MethodResponses)-1])
			if strings.HasSuffix(test.want, ":") {
				require.True(t, strings.HasPrefix(last, test.want), last)
				return
			}
			require.Equal(t, test.want, last)
		})
	}
}

// A small request of an authenticated client cannot cause a large answer or much work.
func TestJMAPResultReferencesAreBounded(t *testing.T) {
	double := func(of string) json.RawMessage {
		reference := fmt.Sprintf(`{"resultOf":%q,"name":"Core/echo","path":""}`, of)
		return json.RawMessage(`{"#a":` + reference + `,"#b":` + reference + `}`)
	}
	deep := strings.Repeat(`[`, 9000) + strings.Repeat("0", 1) + strings.Repeat(`]`, 9000)
	for _, test := range []struct {
		name  string
		first string
		calls []json.RawMessage // the id of each is its number, from 1
	}{
		{name: "each call doubles", first: `{"x":"` + strings.Repeat("x", 1<<19) + `"}`, calls: []json.RawMessage{double("0"), double("1"), double("2"), double("3"), double("4"), double("5")}},
		{name: "a deep value", first: `{"x":` + deep + `}`, calls: []json.RawMessage{json.RawMessage(`{"#a":{"resultOf":"0","name":"Core/echo","path":"/x` + strings.Repeat("/0", 9000) + `"}}`)}},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := jmapResolver{responses: []jmapInvocation{{Name: "Core/echo", Arguments: json.RawMessage(test.first), ID: "0"}}, left: maxReferenced}
			refused := false
			for i, call := range test.calls {
				arguments, err := r.resolve(call)
				if err != nil {
					require.Equal(t, "requestTooLarge", err.Type)
					refused = true
					break
				}
				r.responses = append(r.responses, jmapInvocation{Name: "Core/echo", Arguments: arguments, ID: fmt.Sprint(i + 1)})
			}
			require.True(t, refused)
			total := 0
			for _, response := range r.responses {
				total += len(response.Arguments)
			}
			require.LessOrEqual(t, total, maxReferenced+len(test.first))
		})
	}
}

// For all arguments, the result is JSON without a reference, or an error of section 3.6.2.
func FuzzJMAPResultReferences(f *testing.F) {
	f.Add(`{"list":[{"id":"a","to":["x"]}]}`, `{"#x":{"resultOf":"0","name":"Core/echo","path":"/list/*/to"}}`)
	f.Add(`{"a/b":[0,1e400,{"":null}]}`, `{"#":{"resultOf":"0","name":"Core/echo","path":"/a~1b/1"},"y":1}`)
	f.Add(`{}`, `{"#x":{"resultOf":"0","name":"Core/echo","path":""},"x":1}`)
	f.Add(`{"a":[[[1],[2]],[]]}`, `{"#x":{"resultOf":"0","name":"Core/echo","path":"/a/*/*/*"}}`)
	f.Fuzz(func(t *testing.T, first, arguments string) {
		if !json.Valid([]byte(first)) || !json.Valid([]byte(arguments)) || !strings.HasPrefix(first, "{") || !strings.HasPrefix(arguments, "{") {
			t.Skip("not what the API hands on")
		}
		r := jmapResolver{responses: []jmapInvocation{{Name: "Core/echo", Arguments: json.RawMessage(first), ID: "0"}}, left: maxReferenced}
		got, err := r.resolve(json.RawMessage(arguments))
		if err != nil {
			require.Contains(t, []string{"invalidArguments", "invalidResultReference", "requestTooLarge"}, err.Type)
			require.Nil(t, got)
			return
		}
		var before, after map[string]json.RawMessage
		require.NoError(t, json.Unmarshal([]byte(arguments), &before))
		require.NoError(t, json.Unmarshal(got, &after))
		require.Len(t, after, len(before))
		for name, value := range before {
			name, reference := strings.CutPrefix(name, "#")
			require.Contains(t, after, name)
			if !reference {
				require.JSONEq(t, string(value), string(after[name]))
			}
		}
	})
}
