package check

import (
	"testing"

	"github.com/radmatch/radmatch/config"
)

// TestFinding: what check says keeps its place in the file.
func TestFinding(t *testing.T) {
	cfg := &config.Config{File: "r.yaml"}
	for _, tt := range []struct {
		about, text string
		want        finding
	}{
		{cfg.Where("data_dir"), "must be: a folder", finding{File: "r.yaml", Key: "data_dir", Text: "must be: a folder"}},
		{"", "r.yaml:12: clients[0].secret_file: must be readable", finding{File: "r.yaml", Line: 12, Key: "clients[0].secret_file", Text: "must be readable"}},
		{"", "r.yaml:12: is no YAML: tab", finding{File: "r.yaml", Line: 12, Text: "is no YAML: tab"}},
		{"", "dial tcp 127.0.0.1:389: refused", finding{Text: "dial tcp 127.0.0.1:389: refused"}},
		{"client vpn", "it waits 5s", finding{About: "client vpn", Text: "it waits 5s"}},
		{"", "r.yaml can be served", finding{Text: "r.yaml can be served"}},
	} {
		if got := newFinding("r.yaml", "", tt.about, tt.text, ""); got != tt.want {
			t.Errorf("newFinding(%q, %q) = %+v, want %+v", tt.about, tt.text, got, tt.want)
		}
	}
}
