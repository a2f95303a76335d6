package config

import (
	"fmt"
	"slices"
	"strings"
)

// Problem is one thing that is wrong with the file, or unwise.
type Problem struct {
	File    string
	Line    int    // 0: not a line of the file
	Key     string // key path, such as clients[0].secret; may be empty
	Rule    string // what must hold
	Got     string // the value as it is shown; empty for secrets
	Warning bool
}

// String is FILE:LINE: key.path: rule; got VALUE.
func (p Problem) String() string {
	var b strings.Builder
	b.WriteString(p.File)
	if p.Line > 0 {
		fmt.Fprintf(&b, ":%d", p.Line)
	}
	b.WriteString(": ")
	if p.Warning {
		b.WriteString("warning: ")
	}
	if p.Key != "" {
		b.WriteString(p.Key + ": ")
	}
	b.WriteString(p.Rule)
	if p.Got != "" {
		b.WriteString("; got " + p.Got)
	}
	return b.String()
}

// Problems is everything that is wrong with a file, in the order of its lines.
type Problems []Problem

// Errors returns the problems without the warnings.
func (ps Problems) Errors() Problems {
	return slices.DeleteFunc(slices.Clone(ps), func(p Problem) bool { return p.Warning })
}

// Error is one line a problem.
func (ps Problems) Error() string {
	lines := make([]string, len(ps))
	for i, p := range ps {
		lines[i] = p.String()
	}
	return strings.Join(lines, "\n")
}

// maxProblems bounds what a hostile or binary file can make us print.
const maxProblems = 200

// report collects problems. A key has at most one error: the later checks of a
// value that is wrong already would only repeat it.
type report struct {
	file  string
	lines map[string]int // key path to line
	bad   map[string]bool
	above map[string]bool // has a bad key below it
	all   Problems

	noSecrets   bool         // files with secrets are not read
	secretFiles []secretFile // that the file names
}

// secretFile is a file with secrets and the key that names it.
type secretFile struct{ key, name string }

func newReport(file string) *report {
	return &report{file: file, lines: map[string]int{}, bad: map[string]bool{}, above: map[string]bool{}}
}

// add reports an error at a key.
func (r *report) add(key, got, rule string, args ...any) {
	if r.bad[key] {
		return
	}
	r.bad[key] = true
	for at, ok := parent(key); ok; at, ok = parent(at) {
		r.above[at] = true
	}
	r.put(Problem{Line: r.line(key), Key: key, Rule: fmt.Sprintf(rule, args...), Got: got})
}

// addAt reports an error of a line that has no key of its own.
func (r *report) addAt(line int, key, rule string, args ...any) {
	r.put(Problem{Line: line, Key: key, Rule: fmt.Sprintf(rule, args...)})
}

// warn reports what is allowed but unwise.
func (r *report) warn(key, rule string, args ...any) {
	r.put(Problem{Line: r.line(key), Key: key, Rule: fmt.Sprintf(rule, args...), Warning: true})
}

func (r *report) put(p Problem) {
	p.File = r.file
	r.all = append(r.all, p)
}

// line is the line of a key, or of the nearest key above it that is in the file.
func (r *report) line(key string) int {
	for ok := true; ok; key, ok = parent(key) {
		if l, found := r.lines[key]; found {
			return l
		}
	}
	return 1
}

// parent is the key path without its last key or index.
func parent(key string) (string, bool) {
	i := strings.LastIndexAny(key, ".[")
	if i < 0 {
		return "", false
	}
	return key[:i], true
}

// set reports whether the file has the key.
func (r *report) set(key string) bool {
	_, ok := r.lines[key]
	return ok
}

// failed reports whether one of the keys, or one below it, is wrong.
func (r *report) failed(keys ...string) bool {
	return slices.ContainsFunc(keys, func(k string) bool { return r.bad[k] || r.above[k] })
}

// sorted returns the problems in line order, and whether one is an error.
func (r *report) sorted() (ps Problems, failed bool) {
	slices.SortStableFunc(r.all, func(a, b Problem) int { return a.Line - b.Line })
	ps = r.all
	failed = slices.ContainsFunc(ps, func(p Problem) bool { return !p.Warning })
	if len(ps) > maxProblems {
		more := len(ps) - maxProblems
		ps = append(ps[:maxProblems:maxProblems], Problem{File: r.file, Rule: fmt.Sprintf("%d more problems", more)})
	}
	return ps, failed
}
