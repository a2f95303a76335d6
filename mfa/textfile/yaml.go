package textfile

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"sort"
	"strconv"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

// The errors of the YAML parser. Those of parserText count lines from 0.
var (
	yamlLine   = regexp.MustCompile(`^yaml: line (\d+): `)
	indentText = regexp.MustCompile(`^(did not find expected (key|'-' indicator)|mapping values are not allowed in this context|found a tab character that violates indentation)$`)
	parserText = regexp.MustCompile(`^did not find expected (node content|key|',' or|'-' indicator|<)`)
	anchorText = regexp.MustCompile(`^unknown anchor '(.*)' referenced$`)
	tabIndent  = regexp.MustCompile(`^ *\t`)
)

// maxSearched bounds the text in which the line of a mistake is searched for: it is
// parsed some twenty times.
const maxSearched = 1 << 20

// The errors of a file that is no YAML document, or more than one.
var (
	ErrEmpty     = errors.New("must not be empty")
	ErrDocuments = errors.New("must be one YAML document")
)

// Fault is an error in a line of a text. Its Err repeats nothing of the text.
type Fault struct {
	Line int
	Err  error
}

func (f *Fault) Error() string { return fmt.Sprintf("line %d: %s", f.Line, f.Err) }

func (f *Fault) Unwrap() error { return f.Err }

// YAML returns the root of a text that is one YAML document. Its error is a *Fault.
// Where only what follows the document is wrong it returns both.
func YAML(data []byte) (*yaml.Node, error) {
	dec := yaml.NewDecoder(bytes.NewReader(data))
	var doc, next yaml.Node
	err := dec.Decode(&doc)
	switch {
	case errors.Is(err, io.EOF):
		return nil, &Fault{1, ErrEmpty}
	case err != nil:
		return nil, syntaxFault(err, data)
	}
	err = dec.Decode(&next)
	switch {
	case err == nil:
		return doc.Content[0], &Fault{next.Line, ErrDocuments}
	case !errors.Is(err, io.EOF):
		return doc.Content[0], syntaxFault(err, data)
	}
	return doc.Content[0], nil
}

func syntaxFault(err error, data []byte) error {
	line, rule := YAMLError(err, data)
	return &Fault{line, errors.New(rule)}
}

// Resolve follows an alias to what it stands for. YAML has no alias of an alias.
func Resolve(n *yaml.Node) *yaml.Node {
	if n.Kind == yaml.AliasNode && n.Alias != nil {
		return n.Alias
	}
	return n
}

// YAMLError says in which line of a YAML text the parser's error is, and what it is.
// Only one text of the parser repeats a part of the file: the name of an anchor, which
// may be a secret that begins with an asterisk. It is left out.
func YAMLError(err error, data []byte) (line int, rule string) {
	if !utf8.Valid(data) {
		return firstLine(data, invalidAt(data)), "must be UTF-8: save the file as that"
	}
	line, rule = 1, err.Error()
	if m := yamlLine.FindStringSubmatch(rule); m != nil {
		line, _ = strconv.Atoi(m[1])
		rule = rule[len(m[0]):]
	}
	rule = strings.TrimPrefix(rule, "yaml: ")
	switch m := anchorText.FindStringSubmatch(rule); {
	case m != nil:
		line, rule = firstLine(data, bytes.Index(data, []byte("*"+m[1]))), "text that begins with * must be in quotes"
	case indentText.MatchString(rule):
		line = failingLine(data, rule, line)
		rule = indented(lineOf(data, line), rule)
	case parserText.MatchString(rule):
		line++
	case rule == "found character that cannot start any token":
		if rule = "text that begins with @, % or ` must be in quotes"; tabIndent.Match(lineOf(data, line)) {
			rule = tabRule
		}
	case rule == "found unexpected end of stream":
		rule = "a quote that begins here is not closed"
	}
	return line, rule
}

const tabRule = "a line must be indented by blanks, not by a tab"

// indented is what is wrong with a line that does not fit those above.
func indented(line []byte, rule string) string {
	switch {
	case tabIndent.Match(line):
		return tabRule
	case strings.HasPrefix(rule, "mapping values"):
		rule += `; or a text with ": " in it is not in quotes, or no blank stands behind a colon above or before it behind a dash`
	}
	return "the indentation does not fit the lines above: " + rule
}

func invalidAt(data []byte) int {
	at := 0
	for at < len(data) {
		r, size := utf8.DecodeRune(data[at:])
		if r == utf8.RuneError && size < 2 {
			break
		}
		at += size
	}
	return at
}

// firstLine is the line in which the octet at stands.
func firstLine(data []byte, at int) int { return 1 + bytes.Count(data[:max(at, 0)], []byte("\n")) }

func lineOf(data []byte, n int) []byte {
	for range n - 1 {
		_, data, _ = bytes.Cut(data, []byte("\n"))
	}
	line, _, _ := bytes.Cut(data, []byte("\n"))
	return line
}

// failingLine is the first line with which the parser fails as it does. Of a line
// that is indented wrongly the parser names where its list or section begins.
func failingLine(data []byte, text string, named int) int {
	if len(data) > maxSearched {
		return named
	}
	var ends []int
	for i, b := range data {
		if b == '\n' || i == len(data)-1 {
			ends = append(ends, i+1)
		}
	}
	fails := func(i int) bool { return strings.HasSuffix(parseError(data[:ends[i]]), text) }
	return 1 + min(sort.Search(len(ends), fails), len(ends)-1)
}

// parseError is what the parser says of data; empty: nothing.
func parseError(data []byte) string {
	dec := yaml.NewDecoder(bytes.NewReader(data))
	for {
		var doc yaml.Node
		err := dec.Decode(&doc)
		switch {
		case errors.Is(err, io.EOF):
			return ""
		case err != nil:
			return err.Error()
		}
	}
}
