package console

import (
	"bytes"
	"strings"
	"testing"

	"github.com/boombuler/barcode/qr"
)

// TestPrintQR reads the modules back from the characters.
func TestPrintQR(t *testing.T) {
	for _, text := range []string{"a", "https://mfa.example.org/enroll#0123456789", strings.Repeat("otpauth", 30)} {
		var out bytes.Buffer
		if err := PrintQR(&out, text); err != nil {
			t.Fatal(err)
		}
		code, err := qr.Encode(text, qr.L, qr.Unicode)
		if err != nil {
			t.Fatal(err)
		}
		var rows [][]bool // light or not
		for line := range strings.Lines(out.String()) {
			var upper, lower []bool
			for _, r := range strings.TrimSuffix(line, "\n") {
				upper = append(upper, r == '█' || r == '▀')
				lower = append(lower, r == '█' || r == '▄')
			}
			rows = append(rows, upper, lower)
		}
		size := code.Bounds().Dx()
		for y := range size + 2*quietZone {
			for x := range size + 2*quietZone {
				inside := x >= quietZone && y >= quietZone && x < size+quietZone && y < size+quietZone
				want := true
				if inside {
					r, _, _, _ := code.At(x-quietZone, y-quietZone).RGBA()
					want = r != 0
				}
				if rows[y][x] != want {
					t.Fatalf("%.20q: module %d, %d: got light %t; want %t", text, x, y, rows[y][x], want)
				}
			}
		}
		if len(rows) != size+2*quietZone+1 || rows[len(rows)-1][0] {
			t.Errorf("%.20q: got %d rows for %d; want one more, dark", text, len(rows), size+2*quietZone)
		}
	}
	if err := PrintQR(new(bytes.Buffer), strings.Repeat("x", 4000)); err == nil || strings.Contains(err.Error(), "xxx") {
		t.Errorf("got error %v; want one without the text", err)
	}
}
