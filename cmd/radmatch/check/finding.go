package check

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/radmatch/radmatch/config"
)

// The kinds of what check says.
const (
	foundError   = "error" // it cannot be served
	foundWarning = "warning"
	foundNote    = "note"
	foundBypass  = "bypass" // in force
	foundOK      = "ok"
)

// finding is one thing that check says, for machines. It is about a place in the
// configuration or about something else, such as a client or a primary.
type finding struct {
	Kind  string `json:"kind"`
	File  string `json:"file,omitempty"`
	Line  int    `json:"line,omitempty"`
	Key   string `json:"key,omitempty"`
	About string `json:"about,omitempty"`
	Text  string `json:"text"`
	Hint  string `json:"hint,omitempty"`
}

// find prints a finding. What it is about is often a place, as config.Where has it.
func (k *checker) find(kind, about, text, hint string) {
	if k.json {
		_ = k.PrintJSON(newFinding(k.ConfigFile, kind, about, text, hint))
		return
	}
	switch {
	case kind == foundBypass:
		about = "WARNING: BYPASS " + about + ": "
	case about != "":
		about += ": "
	}
	if kind == foundWarning || kind == foundNote {
		text = kind + ": " + text
	}
	fmt.Fprintln(k.Stdout, about+text)
	if hint != "" {
		fmt.Fprintf(k.Stdout, "  hint: %s\n", hint)
	}
}

// newFinding takes the place in file, FILE:LINE: key, from the front.
func newFinding(file, kind, about, text, hint string) finding {
	f := finding{Kind: kind, About: about, Text: text, Hint: hint}
	whole := text
	if about != "" {
		whole = about + ": " + text
	}
	at, ok := strings.CutPrefix(whole, file+":")
	number, rest, found := strings.Cut(at, ": ")
	line, err := strconv.Atoi(number)
	if !ok || !found || err != nil {
		return f
	}
	f.File, f.Line, f.About, f.Text = file, line, "", rest
	if key, rest, ok := strings.Cut(rest, ": "); ok && !strings.Contains(key, " ") {
		f.Key, f.Text = key, rest
	}
	return f
}

// findError prints an error, each of its lines a finding.
func (k *checker) findError(err error, hint string) {
	lines := strings.Split(err.Error(), "\n")
	for i, line := range lines {
		if i < len(lines)-1 {
			k.find(foundError, "", line, "")
			continue
		}
		k.find(foundError, "", line, hint)
	}
}

// findProblems prints what the configuration says of itself.
func (k *checker) findProblems(ps config.Problems) {
	for _, p := range ps {
		if !k.json {
			fmt.Fprintln(k.Stdout, p)
			continue
		}
		f := finding{Kind: foundError, File: p.File, Line: p.Line, Key: p.Key, Text: p.Rule}
		if p.Warning {
			f.Kind = foundWarning
		}
		if p.Got != "" {
			f.Text += "; got " + p.Got
		}
		_ = k.PrintJSON(f)
	}
}
