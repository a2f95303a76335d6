package load

import (
	"reflect"
	"testing"
)

type testFile struct {
	Web     testWeb     `yaml:"web" doc:"Web."`
	Fatigue int         `yaml:"fatigue" default:"5" min:"1" max:"9" doc:"Fatigue."`
	Entries []testEntry `yaml:"entries" required:"true" doc:"Entries."`
	Kinds   []testKind  `yaml:"kinds" required:"true" doc:"Kinds."`
	Shared  testShared  `yaml:"shared" doc:"Shared."`
}

type testWeb struct {
	PublicURL string `yaml:"public_url" example:"https://example.org" doc:"Where."`
}

type testKind struct {
	Name string `yaml:"name" required:"true" doc:"Name."`
	Type string `yaml:"type" required:"true" doc:"Type."`
}

type testEntry struct {
	Name       string     `yaml:"name" required:"true" example:"one" first:"true" doc:"Name."`
	Addresses  []string   `yaml:"addresses" default:"" doc:"From where."`
	Secret     Secrets    `yaml:"secret" octets:"8,253" doc:"Secret."`
	NASTimeout int        `yaml:"nas_timeout" was:"budget" default:"5" min:"1" max:"9" doc:"How long."`
	Attribute  string     `yaml:"address_attribute" was:"address" default:"" doc:"Which."`
	Shared     testShared `yaml:",inline" doc:"Any key of shared: may stand here too."`
}

type testShared struct {
	Join bool `yaml:"join" default:"true" doc:"Join."`
}

func testSpec() Spec {
	return Spec{Title: "test.yaml", Root: reflect.TypeFor[testFile](), Variants: map[string]map[string]any{"kinds": {"web": testWeb{}, "none": struct{}{}}}}
}

func TestSuggestKey(t *testing.T) {
	entry := fields(reflect.TypeFor[testEntry]())
	for _, tt := range []struct {
		key  string
		fs   []field
		want string
	}{
		{"adresses", entry, `; did you mean "addresses"`},
		{"shared_secret", entry, `; did you mean "secret"`},
		{"fatigue", entry, "; it belongs to the top level"},
		{"kinds", entry, `; it belongs to the top level`},
		{"public_url", entry, "; it belongs to web"},
		{"nas_timeout", fields(reflect.TypeFor[testFile]()), "; it belongs to an entry of entries"},
		{"secret", fields(reflect.TypeFor[testShared]()), "; it belongs to an entry of entries"},
		{"type", fields(reflect.TypeFor[testShared]()), ""},
		{"nonsense", entry, ""},
	} {
		if got := testSpec().suggestKey(tt.key, tt.fs); got != tt.want {
			t.Errorf("%s: got %q, want %q", tt.key, got, tt.want)
		}
	}
}

// TestRenamed: only the former name of a key of this section is one.
func TestRenamed(t *testing.T) {
	entry := fields(reflect.TypeFor[testEntry]())
	for key, want := range map[string]string{
		"budget": "is now nas_timeout", "address": `is now address_attribute; or did you mean "addresses"`, "budgt": "", "": "", "name": "",
	} {
		if got := renamed(key, entry); got != want {
			t.Errorf("%s: got %q, want %q", key, got, want)
		}
	}
	if got := renamed("budget", fields(reflect.TypeFor[testFile]())); got != "" {
		t.Errorf("elsewhere: got %q, want nothing", got)
	}
}
