package console

import (
	"bufio"
	"errors"
	"image/color"
	"io"
	"os"

	"github.com/boombuler/barcode"
	"github.com/boombuler/barcode/qr"
	"golang.org/x/term"
)

// quietZone is the light border of a QR code, in modules. The standard asks for
// four; scanners do with two, and a terminal is small.
const quietZone = 2

// PrintQR writes text as a QR code, two modules a character. It paints the light
// modules, as nearly all terminals are dark; on a terminal it also sets the
// colours, so that a light one shows it right.
func PrintQR(w io.Writer, text string) error {
	code, err := qr.Encode(text, qr.L, qr.Unicode)
	if err != nil {
		return errors.New("text is too long for a QR code") // the library's error may hold the text
	}
	before, after := "", "\n"
	if f, ok := w.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		before, after = "\x1b[40;97m", "\x1b[0m\n"
	}
	size := code.Bounds().Dx()
	b := bufio.NewWriter(w)
	for y := -quietZone; y < size+quietZone; y += 2 {
		b.WriteString(before)
		for x := -quietZone; x < size+quietZone; x++ {
			b.WriteString(half(light(code, x, y), light(code, x, y+1)))
		}
		b.WriteString(after)
	}
	return b.Flush()
}

// light reports whether a module is light, as all outside the code are. A row
// below the border is dark: it belongs to the terminal.
func light(code barcode.Barcode, x, y int) bool {
	size := code.Bounds().Dx()
	if x < 0 || y < 0 || x >= size || y >= size {
		return y < size+quietZone
	}
	return code.At(x, y) == color.Color(color.White)
}

// half returns the character for two modules, one above the other.
func half(upper, lower bool) string {
	switch {
	case upper && lower:
		return "█"
	case upper:
		return "▀"
	case lower:
		return "▄"
	}
	return " "
}
