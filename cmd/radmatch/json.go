package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"unicode"
	"unicode/utf16"
)

// streams are what a command reads and writes.
type streams struct {
	stdin  io.Reader
	stdout io.Writer
	stderr io.Writer
}

// printJSON prints v for machines, on one line.
func (s streams) printJSON(v any) error {
	line, err := plainJSON(v)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(s.stdout, line)
	return err
}

// printEach prints the entries of a list for machines, one a line.
func printEach[T, R any](s streams, list []T, report func(*T) R) error {
	for i := range list {
		if err := s.printJSON(report(&list[i])); err != nil {
			return err
		}
	}
	return nil
}

// plainJSON is v as JSON on one line. What steers a terminal is escaped, which the
// encoder does for ASCII controls only.
func plainJSON(v any) (string, error) {
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
