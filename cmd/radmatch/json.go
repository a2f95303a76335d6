package main

import (
	"encoding/json"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf16"

	"github.com/spf13/cobra"
)

// jsonFlag gives a command that prints data its --json. The keys are an interface:
// they keep their names, and a duration has its unit in its key.
func jsonFlag(c *cobra.Command, set *bool) {
	c.Flags().BoolVar(set, "json", false, "one JSON object a line")
}

// printJSON prints v for machines, on one line.
func (a *app) printJSON(v any) error {
	line, err := plainJSON(v)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(a.stdout, line)
	return err
}

// printEach prints the entries of a list for machines, one a line.
func printEach[T, R any](a *app, list []T, report func(*T) R) error {
	for i := range list {
		if err := a.printJSON(report(&list[i])); err != nil {
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
