package textfile

import (
	"bytes"
	"encoding/binary"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode/utf16"
)

func utf16Text(text string, order binary.AppendByteOrder) string {
	b := order.AppendUint16(nil, 0xfeff)
	for _, u := range utf16.Encode([]rune(text)) {
		b = order.AppendUint16(b, u)
	}
	return string(b)
}

func TestClean(t *testing.T) {
	tests := []struct{ name, in, want, err string }{
		{"as it should be", "a: ü\nb\n", "a: ü\nb\n", ""},
		{"byte order mark", "\ufeffa\n", "a\n", ""},
		{"Windows", "\ufeffa\r\n\r\nb\r\n", "a\n\nb\n", ""},
		{"old Mac", "a\rb\r", "a\nb\n", ""},
		{"a CR before CR LF", "a\r\r\nb", "a\n\nb", ""},
		{"UTF-16, as Windows says Unicode", utf16Text("a ü 😀\r\nb", binary.LittleEndian), "a ü 😀\nb", ""},
		{"UTF-16, the other way round", utf16Text("a\r\nb", binary.BigEndian), "a\nb", ""},
		{"UTF-16 that is cut", utf16Text("ab", binary.LittleEndian)[:5], "", errUTF16.Error()},
		{"UTF-16 with half a pair", "\xff\xfe\x00\xd8", "", errUTF16.Error()},
		{"UTF-16 without a mark", utf16Text("ab", binary.LittleEndian)[2:], "", errBinary.Error()},
		{"DER", "\x30\x82\x00\x01", "", errBinary.Error()},
		{"Latin-1", "gr\xfc\xdfe\r\n", "gr\xfc\xdfe\n", ""},
		{"nothing", "", "", ""},
		{"only a mark", "\ufeff", "", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := Clean([]byte(tt.in))
			said := ""
			if err != nil {
				said = err.Error()
			}
			if string(got) != tt.want || said != tt.err {
				t.Errorf("got %q, %q; want %q, %q", got, said, tt.want, tt.err)
			}
		})
	}
}

func FuzzClean(f *testing.F) {
	f.Add([]byte("\ufeffa\r\nb"))
	f.Add([]byte("\xff\xfea\x00\r\x00\n\x00"))
	f.Fuzz(func(t *testing.T, in []byte) {
		out, err := Clean(bytes.Clone(in))
		if err != nil {
			return
		}
		if bytes.ContainsAny(out, "\r\x00") {
			t.Errorf("%q", out)
		}
		if again, err := Clean(bytes.Clone(out)); err != nil || !bytes.HasPrefix(out, []byte("\ufeff")) && !bytes.HasPrefix(out, []byte("\xff\xfe")) &&
			!bytes.HasPrefix(out, []byte("\xfe\xff")) && !bytes.Equal(again, out) {
			t.Errorf("%q becomes %q, %v", out, again, err)
		}
	})
}

// TestSecrets: however an editor leaves the file, the secret is its text.
func TestSecrets(t *testing.T) {
	const one = "testing123-secret"
	tests := []struct {
		name, in string
		want     []string
	}{
		{"plain", one, []string{one}},
		{"echo", one + "\n", []string{one}},
		{"Notepad", "\ufeff" + one + "\r\n", []string{one}},
		{"PowerShell's >", utf16Text(one+"\r\n", binary.LittleEndian), []string{one}},
		{"a blank at the end", one + " \n", []string{one}},
		{"tabs and blank lines", "\n\t" + one + "\t\r\n\r\n \n", []string{one}},
		{"a paste", "\u00a0" + one + "\u200b\n", []string{one}},
		{"two", one + "\r\n second secret \r\n", []string{one, "second secret"}},
		{"no UTF-8", "gr\xfc\xdfe-an-alle\n", []string{"gr\xfc\xdfe-an-alle"}},
		{"empty", "\ufeff \r\n", nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "secret")
			if err := os.WriteFile(file, []byte(tt.in), 0o600); err != nil {
				t.Fatal(err)
			}
			got, err := Secrets(file)
			if err != nil || !slices.Equal(got, tt.want) {
				t.Errorf("got %q, %v; want %q", got, err, tt.want)
			}
			single, err := Secret(file)
			if (err == nil) != (len(tt.want) == 1) || err == nil && single != tt.want[0] {
				t.Errorf("as one: %q, %v", single, err)
			}
		})
	}
	for name, file := range map[string]string{"a folder": t.TempDir(), "nothing there": filepath.Join(t.TempDir(), "no")} {
		if _, err := Secret(file); err == nil || strings.Count(err.Error(), file) != 1 {
			t.Errorf("%s: %v", name, err)
		}
	}
	large := filepath.Join(t.TempDir(), "large")
	if err := os.WriteFile(large, bytes.Repeat([]byte("x"), maxSecret+1), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Secrets(large); err == nil || !strings.HasSuffix(err.Error(), "must be at most 64 KiB") {
		t.Errorf("a large file: got %v; want \"must be at most 64 KiB\" last", err)
	}
}

func TestOdd(t *testing.T) {
	for value, want := range map[string]string{
		"a-long-random-secret-of-32-chars": "", "it's $5 & more": "", "100%": "", "a b": "", "pa$$word": "", "cn=svc,dc=example,dc=org": "",
		"(&(objectClass=user)(!(cn=x)))": "", "grüße": "", "$x$y": "", `say "hi"`: "",
		"${RADIUS_SECRET}": "variable", "x-${RADIUS_SECRET}": "variable", "$RADIUS_SECRET": "variable", "%SECRET%": "variable", "{{ secret }}": "variable",
		"%{User-Name}": "variable",
		"“secret”":     "typographic", "cn=‘svc’": "typographic",
		`"secret"`: "quotes around", "'secret'": "quotes around",
		" secret": "begins or ends", "secret\u00a0": "begins or ends",
		"sec\u200bret": "nobody sees", "sec\u00a0ret": "nobody sees", "sec\x07ret": "nobody sees",
	} {
		got := Odd(value)
		if want == "" && got != "" || want != "" && !strings.Contains(got, want) {
			t.Errorf("%q: got %q; want %q", value, got, want)
		}
	}
}
