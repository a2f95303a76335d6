package command

import (
	"github.com/spf13/cobra"

	"github.com/radmatch/radmatch/cmd/radmatch/console"
)

// jsonFlag gives a command that prints data its --json. The keys are an interface:
// they keep their names, and a duration has its unit in its key.
func jsonFlag(c *cobra.Command, set *bool) {
	c.Flags().BoolVar(set, "json", false, "one JSON object a line")
}

// exactArgs demands n arguments; usage is what to type.
func exactArgs(n int, usage string) cobra.PositionalArgs { return rangeArgs(n, n, usage) }

// rangeArgs demands at least least and at most most arguments.
func rangeArgs(least, most int, usage string) cobra.PositionalArgs {
	return func(c *cobra.Command, args []string) error {
		switch {
		case len(args) < least:
			return console.UsageError(usage, "an argument is missing")
		case len(args) > most:
			return console.UsageError(usage, "unexpected argument %q%s", args[most], suggestCommand(c, args[most]))
		}
		return nil
	}
}
