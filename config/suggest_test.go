package config

import (
	"reflect"
	"testing"
)

func TestSuggestKey(t *testing.T) {
	client := append(fields(clientType), fields(reflect.TypeFor[MFA]())...)
	for _, tt := range []struct {
		key  string
		fs   []field
		want string
	}{
		{"adresses", client, `; did you mean "addresses"`},
		{"shared_secret", client, `; did you mean "secret"`},
		{"fatigue", client, "; it belongs to the top level"},
		{"primaries", client, `; it belongs to the top level`},
		{"public_url", client, "; it belongs to web"},
		{"nas_timeout", fields(reflect.TypeFor[Config]()), "; it belongs to an entry of clients"},
		{"secret", fields(reflect.TypeFor[MFA]()), "; it belongs to an entry of clients"},
		{"nonsense", client, ""},
	} {
		if got := suggestKey(tt.key, tt.fs); got != tt.want {
			t.Errorf("%s: got %q, want %q", tt.key, got, tt.want)
		}
	}
}
