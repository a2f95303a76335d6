package command

import (
	"bytes"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"github.com/radmatch/radmatch/cmd/radmatch/console"
)

// TestHelp holds the help of every command: no line is wider than a terminal, and
// every example is a command line that could be run.
func TestHelp(t *testing.T) {
	root := (&app{}).rootCommand()
	var walk func(c *cobra.Command)
	walk = func(c *cobra.Command) {
		if c.Name() == "completion" || c.Name() == "help" {
			return // cobra's own
		}
		var out bytes.Buffer
		c.SetOut(&out)
		if err := c.Help(); err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(out.String()) {
			if line = strings.TrimRight(line, "\n"); utf8.RuneCountInString(line) > helpWidth {
				t.Errorf("%s --help: %d columns, want at most %d: %s", c.CommandPath(), utf8.RuneCountInString(line), helpWidth, line)
			}
		}
		if c.Example == "" {
			t.Errorf("%s --help has no example", c.CommandPath())
		}
		for line := range strings.Lines(c.Example) {
			tryExample(t, strings.TrimSpace(line))
		}
		for _, sub := range c.Commands() {
			walk(sub)
		}
	}
	walk(root)
}

// tryExample finds the command of an example and reads its flags and arguments.
func tryExample(t *testing.T, line string) {
	t.Helper()
	_, line, ok := strings.Cut(line, "radmatch ")
	if !ok {
		return // another program's
	}
	line, _, _ = strings.Cut(line, "|")
	line, _, _ = strings.Cut(line, ">")
	line, _, _ = strings.Cut(line, "<")
	root := (&app{}).rootCommand()
	c, args, err := root.Find(shellWords(line))
	if err != nil {
		t.Errorf("radmatch %s: got error %v; want none", line, err)
		return
	}
	if err := c.ParseFlags(args); err != nil {
		t.Errorf("radmatch %s: got error %v; want none", line, err)
		return
	}
	if err := c.ValidateArgs(c.Flags().Args()); err != nil || !c.Runnable() {
		t.Errorf("radmatch %s: runnable %v: got %v; want no error, Runnable true", line, c.Runnable(), err)
	}
	if c.HasSubCommands() && len(c.Flags().Args()) > 0 {
		t.Errorf("radmatch %s: there is no command %q", line, c.Flags().Arg(0))
	}
}

// shellWords splits at spaces outside of quotes.
func shellWords(line string) (words []string) {
	var quote rune
	fields := strings.FieldsFunc(line, func(r rune) bool {
		switch {
		case quote == 0 && (r == '"' || r == '\''):
			quote = r
		case r == quote:
			quote = 0
		}
		return quote == 0 && r == ' '
	})
	for _, f := range fields {
		words = append(words, strings.Trim(f, `"'`))
	}
	return words
}

// TestSuggestions: a word that is no command gets the one that it may have been meant to be.
func TestSuggestions(t *testing.T) {
	for line, want := range map[string]string{
		"evnts":              `unknown command "evnts"; did you mean "events"`,
		"user shwo anna":     `unknown command "shwo"; did you mean "show"`,
		"bypass lsit":        `unexpected argument "lsit"; did you mean "list"`,
		"quite-other":        `unknown command "quite-other"` + "\n",
		"bypass begin":       `unexpected argument "begin"` + "\n",
		"clients unlach vpn": `unexpected argument "unlach"; did you mean "unlatch"`,
	} {
		var stderr bytes.Buffer
		if code := Run(t.Context(), strings.Fields(line), nil, nil, &stderr); code != console.ExitUsage || !strings.Contains(stderr.String(), want) {
			t.Errorf("radmatch %s: exit %d, %s; want %s", line, code, stderr.String(), want)
		}
	}
}
