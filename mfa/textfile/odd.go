package textfile

import (
	"regexp"
	"strings"
	"unicode"
)

var (
	variable = regexp.MustCompile(`\$\{[A-Za-z_][A-Za-z0-9_.:-]*\}|^\$[A-Za-z_][A-Za-z0-9_]*$|^%[A-Za-z_][A-Za-z0-9_]*%$|\{\{.*\}\}|%\{[A-Za-z]`)
	quoted   = regexp.MustCompile(`^(".*"|'.*'|` + "`.*`" + `)$`)
)

// curly are the quotes that word processors, chats and web pages put in the place
// of those that were typed.
const curly = "‘’‚‛“”„‟«»‹›′″"

// Variable reports whether a value looks like the name of something that another
// program would have put in its place. Nothing here does.
func Variable(value string) bool {
	return strings.ContainsAny(value, "$%{") && variable.MatchString(value)
}

// Odd says what in a secret or another value that must be exact was hardly meant
// so; "" where there is nothing. It does not repeat the value.
func Odd(value string) string {
	switch {
	case Variable(value):
		return "it looks like a variable: nothing is put in its place, it is taken as it stands"
	case strings.ContainsAny(value, curly):
		return "it has typographic quotes, as a word processor makes them: they are taken as they stand"
	case quoted.MatchString(value):
		return "the quotes around it are part of it"
	case strings.TrimFunc(value, invisible) != value:
		return "it begins or ends with a blank, which is part of it"
	case strings.ContainsFunc(value, func(r rune) bool { return r != ' ' && invisible(r) || unicode.IsControl(r) }):
		return "it has characters that nobody sees"
	}
	return ""
}
