package textfile

import (
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// TestYAMLError: the line is that of the mistake, and no secret is repeated.
func TestYAMLError(t *testing.T) {
	for _, tt := range []struct {
		name, text string
		line       int
		rule       string
	}{
		{"indented less than its list", "a:\n  - x: 1\n    y: 2\n   z: 3\nb: 4\n", 4, "the indentation does not fit the lines above: did not find expected '-' indicator"},
		{"indented more", "a:\n  x: 1\n    y: 2\n", 3, "the indentation does not fit the lines above: mapping values"},
		{"a colon and a blank in a text", "a:\n  x: b: c\n", 2, `a text with ": " in it is not in quotes`},
		{"a tab", "a:\n  x: 1\n\ty: 2\n", 3, "by blanks, not by a tab"},
		{"a tab first", "a:\n\tx: 1\n", 2, "by blanks, not by a tab"},
		{"a tab behind blanks", "a:\n  - x: 1\n  \ty: 2\n", 3, "by blanks, not by a tab"},
		{"at", "a: 1\nb: @secret\n", 2, "text that begins with @, % or ` must be in quotes"},
		{"asterisk", "a: 1\nb: *secret\n", 2, "text that begins with * must be in quotes"},
		{"a quote that is not closed", "a: 1\nb: \"secret\nc: 2\n", 2, "a quote that begins here is not closed"},
		{"a bracket that is not closed", "a: 1\nb: [x\nc: 2\n", 2, "did not find expected ',' or ']'"},
		{"Latin-1", "a: 1\n\nb: gr\xfc\xdfe\n", 3, "must be UTF-8"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var doc yaml.Node
			err := yaml.Unmarshal([]byte(tt.text), &doc)
			if err == nil {
				t.Fatal("no error: got no error; want one")
			}
			line, rule := YAMLError(err, []byte(tt.text))
			if line != tt.line || !strings.Contains(rule, tt.rule) || strings.Contains(rule, "secret") {
				t.Errorf("got line %d, %q; want %d, %q", line, rule, tt.line, tt.rule)
			}
		})
	}
}
