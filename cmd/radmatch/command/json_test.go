package command

import (
	"os"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

// noJSON are the commands without --json, each with the reason. One that prints data
// has no reason.
var noJSON = map[string]string{
	"quickstart":      "prints what a user does next",
	"serve":           "its log has log.format",
	"hash":            "prints one hash",
	"phone enroll":    "a program for a user",
	"phone watch":     "a program for a user",
	"config describe": "prints a configuration file",
	"config schema":   "prints JSON",
	"method default":  "says what it did",
	"user block":      "says what it did",
	"user unblock":    "says what it did",
	"totp remove":     "says what it did",
	"tap revoke":      "says what it did",
	"device remove":   "says what it did",
	"device uninvite": "says what it did",
	"bypass end":      "says what it did",
}

// TestJSONFlags: every command that prints data has --json, the manual lists it, and
// no exception is left over.
func TestJSONFlags(t *testing.T) {
	manual, err := os.ReadFile("../../../docs/operating.md")
	if err != nil {
		t.Fatal(err)
	}
	_, listed, _ := strings.Cut(string(manual), "With `--json` a command prints one object a line:")
	listed, _, _ = strings.Cut(listed, "\n\n")
	left := map[string]bool{}
	for name := range noJSON {
		left[name] = true
	}
	var walk func(c *cobra.Command)
	walk = func(c *cobra.Command) {
		for _, sub := range c.Commands() {
			walk(sub)
		}
		_, name, _ := strings.Cut(c.CommandPath(), " ")
		groups := c.HasSubCommands() && c.ValidateArgs([]string{"nonsense"}) == nil // see demandSubcommand
		if groups || name == "help" || strings.HasPrefix(name, "completion") {
			return
		}
		has := c.Flags().Lookup("json") != nil
		switch {
		case left[name] && has:
			t.Errorf("%s has --json: it is no exception", name)
		case left[name]:
			delete(left, name)
		case !has:
			t.Errorf("%s has no --json", name)
		case has && !strings.Contains(listed, "`"+name+"`"):
			t.Errorf("docs/operating.md does not list `%s` among what has --json", name)
		}
	}
	walk((&app{}).rootCommand())
	for name := range left {
		t.Errorf("there is no command %q", name)
	}
}
