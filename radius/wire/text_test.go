package wire

import (
	"strings"
	"testing"
)

func TestAppendText(t *testing.T) {
	for _, tt := range []struct {
		v, want string
		ok      bool
	}{
		{"", "", true},
		{"plain", "plain", true},
		{"Zürich €", "Zürich €", true},
		{"Z\xfcrich \x80", "Zürich €", true},
		{"cost\xa35", "cost£5", true},
		{strings.Repeat("\x80", 253), strings.Repeat("€", 253), true},
		{"\xff\x01", "", false},          // garbage of a wrong secret
		{"\xfc\x81", "", false},          // not in Windows-1252
		{"\xfc\r\n", "", false},          // nothing that begins a line
		{"\x00tab\t", "\x00tab\t", true}, // UTF-8 is as it was
	} {
		got, ok := AppendText([]byte("x"), []byte(tt.v))
		if string(got) != "x"+tt.want || ok != tt.ok {
			t.Errorf("%q: got %q, %v", tt.v, got, ok)
		}
	}
}
