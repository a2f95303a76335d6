// Command radmatch is a RADIUS server for multifactor sign-in.
//
// # Exit codes
//
//	0 ok, 1 error, 2 usage, 3 bad config, 4 rejected, 5 no answer
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // a second signal ends the program at once
	os.Exit(run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

// helpWidth is the widest line of help, in columns.
const helpWidth = 90

// app is what every command is given. It is filled before the command runs.
type app struct {
	streams
	site
	literal bool // --literal: names of users are not looked up
}

// run executes one command line and returns the exit code. It is main without
// the process, so that the scripts in testdata/script can call it.
func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	a := &app{streams: streams{stdin, stdout, stderr}}
	root := a.rootCommand()
	root.SetArgs(args)
	root.SetIn(stdin)
	root.SetOut(stdout)
	root.SetErr(stderr)
	err := root.ExecuteContext(ctx)
	if back := a.asRoot(); err == nil {
		err = back
	}
	if err == nil {
		return exitOK
	}
	var e *exitError
	if !errors.As(err, &e) {
		e = &exitError{code: exitFailure, err: err}
	}
	if e.err != nil {
		fmt.Fprintf(stderr, "radmatch: error: %v\n", e.err)
	}
	if e.hint != "" {
		fmt.Fprintf(stderr, "radmatch: hint: %s\n", e.hint)
	}
	return e.code
}

func (a *app) rootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:   "radmatch",
		Short: "RADIUS server for multifactor sign-in",
		Long: `radmatch checks a password, then asks for a second factor: an approve/deny push,
a number to match, or a passcode by Access-Challenge.

Exit codes: 0 ok, 1 error, 2 usage, 3 bad config, 4 rejected, 5 no answer.`,
		Example:       "  radmatch quickstart\n  radmatch serve -c radmatch.yaml",
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	root.PersistentFlags().StringVarP(&a.configFile, "config", "c", "", "configuration file (default $"+envConfig+", then\nradmatch.yaml here, then "+systemFile+")")
	root.PersistentPreRun = func(*cobra.Command, []string) {
		if a.configFile == "" {
			a.configFile = findConfig(os.LookupEnv, exists)
		}
	}
	root.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
		return usageError(c.CommandPath()+" --help", "%w", err)
	})
	root.SetUsageTemplate(strings.ReplaceAll(root.UsageTemplate(), "Flags.FlagUsages ", fmt.Sprintf("Flags.FlagUsagesWrapped %d ", helpWidth)))
	root.Version = version().Version
	root.SetVersionTemplate(version().String() + "\n")
	root.AddCommand(
		a.quickstartCommand(),
		a.serveCommand(),
		a.checkCommand(),
		a.reloadCommand(),
		a.loginCommand(),
		a.explainCommand(),
		a.hashCommand(),
		a.totpCommand(),
		a.tapCommand(),
		a.methodCommand(),
		a.userCommand(),
		a.bypassCommand(),
		a.deviceCommand(),
		a.phoneCommand(),
		a.eventsCommand(),
		a.clientsCommand(),
		a.rekeyCommand(),
		a.backupCommand(),
		a.configCommand(),
		a.benchCommand(),
		a.versionCommand(),
	)
	demandSubcommand(root)
	return root
}

// demandSubcommand makes a command that only groups others print its help, and
// refuse a word that is none of them: cobra lets it pass.
func demandSubcommand(c *cobra.Command) {
	for _, sub := range c.Commands() {
		demandSubcommand(sub)
	}
	if c.Runnable() || !c.HasSubCommands() {
		return
	}
	c.Args = cobra.ArbitraryArgs
	c.RunE = func(c *cobra.Command, args []string) error {
		if len(args) == 0 {
			return c.Help()
		}
		return usageError(c.CommandPath()+" --help", "unknown command %q%s", args[0], suggestCommand(c, args[0]))
	}
}

// suggestCommand is `; did you mean "..."` with the commands that a word may have been
// meant to be, or nothing.
func suggestCommand(c *cobra.Command, word string) string {
	c.SuggestionsMinimumDistance = 2
	words := c.SuggestionsFor(word)
	for i := range words {
		words[i] = strconv.Quote(words[i])
	}
	if len(words) == 0 {
		return ""
	}
	return "; did you mean " + strings.Join(words, " or ")
}
