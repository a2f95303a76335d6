package site

import (
	"strings"
	"testing"
)

func TestFindConfig(t *testing.T) {
	tests := []struct {
		env   string
		there string
		want  string
	}{
		{"", "", "radmatch.yaml"},
		{"", "radmatch.yaml", "radmatch.yaml"},
		{"", SystemFile, SystemFile},
		{"", "radmatch.yaml " + SystemFile, "radmatch.yaml"},
		{"other.yaml", "radmatch.yaml " + SystemFile, "other.yaml"},
		{"other.yaml", "", "other.yaml"},
	}
	for _, tt := range tests {
		env := func(string) (string, bool) { return tt.env, tt.env != "" }
		got := findConfig(env, func(path string) bool {
			for _, p := range strings.Fields(tt.there) {
				if p == path {
					return true
				}
			}
			return false
		})
		if got != tt.want {
			t.Errorf("RADMATCH_CONFIG=%q, there is %q: got %s, want %s", tt.env, tt.there, got, tt.want)
		}
	}
}
