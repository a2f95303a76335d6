package load

import (
	"cmp"
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

// MaxProblems bounds what a hostile or binary file can make us print.
const MaxProblems = 200

// Report collects the problems of one file and knows the line of each of its keys.
// A key is named by its path, such as clients[0].secret. A key has at most one
// error: the later checks of a value that is wrong already would only repeat it.
// A Report is for one goroutine.
type Report struct {
	file  string
	lines map[string]int // key path to line
	bad   map[string]bool
	above map[string]bool // has a bad key below it
	all   Problems
}

// NewReport returns the report of a file, which is not read yet.
func NewReport(file string) *Report {
	return &Report{file: file, lines: map[string]int{}, bad: map[string]bool{}, above: map[string]bool{}}
}

// Lines is the line of each key that the file has, by its path.
func (r *Report) Lines() map[string]int { return r.lines }

// Add reports an error at a key. got is the value as it is shown, empty for a
// secret; rule and args are as for fmt.Sprintf.
func (r *Report) Add(key, got, rule string, args ...any) {
	if r.bad[key] {
		return
	}
	r.bad[key] = true
	for at, ok := parent(key); ok; at, ok = parent(at) {
		r.above[at] = true
	}
	r.Put(Problem{Line: r.Line(key), Key: key, Rule: fmt.Sprintf(rule, args...), Got: got})
}

// addAt reports an error of a line that has no key of its own.
func (r *Report) addAt(line int, key, rule string, args ...any) {
	r.Put(Problem{Line: line, Key: key, Rule: fmt.Sprintf(rule, args...)})
}

// Warn reports what is allowed but unwise.
func (r *Report) Warn(key, rule string, args ...any) {
	r.Put(Problem{Line: r.Line(key), Key: key, Rule: fmt.Sprintf(rule, args...), Warning: true})
}

// Put adds a problem. Its File is that of the report where it has none.
func (r *Report) Put(p Problem) {
	p.File = cmp.Or(p.File, r.file)
	r.all = append(r.all, p)
}

// Line is the line of a key, or of the nearest key above it that is in the file.
func (r *Report) Line(key string) int {
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

// Set reports whether the file has the key.
func (r *Report) Set(key string) bool {
	_, ok := r.lines[key]
	return ok
}

// Bad reports whether the key itself is wrong, whatever is below it.
func (r *Report) Bad(key string) bool { return r.bad[key] }

// Failed reports whether one of the keys, or one below it, is wrong.
func (r *Report) Failed(keys ...string) bool {
	return slices.ContainsFunc(keys, func(k string) bool { return r.bad[k] || r.above[k] })
}

// Sorted returns the problems in line order, and whether one is an error.
func (r *Report) Sorted() (ps Problems, failed bool) {
	slices.SortStableFunc(r.all, func(a, b Problem) int { return a.Line - b.Line })
	ps = r.all
	failed = slices.ContainsFunc(ps, func(p Problem) bool { return !p.Warning })
	if len(ps) > MaxProblems {
		more := len(ps) - MaxProblems
		ps = append(ps[:MaxProblems:MaxProblems], Problem{File: r.file, Rule: fmt.Sprintf("%d more problems", more)})
	}
	return ps, failed
}
