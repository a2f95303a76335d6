package console

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"unicode"
	"unicode/utf16"
)

// Streams are what a command reads and writes.
type Streams struct {
	Stdin  io.Reader
	Stdout io.Writer
	Stderr io.Writer
}

// PrintJSON prints v for machines, on one line.
func (s Streams) PrintJSON(v any) error {
	line, err := PlainJSON(v)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(s.Stdout, line)
	return err
}

// PrintEach prints the entries of a list for machines, one a line.
func PrintEach[T, R any](s Streams, list []T, report func(*T) R) error {
	for i := range list {
		if err := s.PrintJSON(report(&list[i])); err != nil {
			return err
		}
	}
	return nil
}

// PlainJSON is v as JSON on one line. What steers a terminal is escaped, which the
// encoder does for ASCII controls only.
func PlainJSON(v any) (string, error) {
	var b, plain strings.Builder
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return "", err
	}
	for _, r := range strings.TrimSuffix(b.String(), "\n") {
		if unicode.IsPrint(r) {
			plain.WriteRune(r)
			continue
		}
		for _, u := range utf16.Encode([]rune{r}) {
			fmt.Fprintf(&plain, `\u%04x`, u)
		}
	}
	return plain.String(), nil
}
