package command

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

	"github.com/radmatch/radmatch/cmd/radmatch/console"
	"github.com/radmatch/radmatch/cmd/radmatch/site"
)

// Main runs the command line of this process, and returns its exit code. SIGINT and
// SIGTERM end the command.
func Main() int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // a second signal ends the program at once
	return Run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr)
}

// helpWidth is the widest line of help, in columns.
const helpWidth = 90

// app is what every command is given. It is filled before the command runs.
type app struct {
	console.Streams
	site.Site
	literal bool // --literal: names of users are not looked up
}

// Run executes one command line until it ends or ctx does, and returns the exit code. It
// is Main without the process.
func Run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	a := &app{Streams: console.Streams{Stdin: stdin, Stdout: stdout, Stderr: stderr}}
	root := a.rootCommand()
	root.SetArgs(args)
	root.SetIn(stdin)
	root.SetOut(stdout)
	root.SetErr(stderr)
	err := root.ExecuteContext(ctx)
	if back := a.AsRoot(); err == nil {
		err = back
	}
	if err == nil {
		return console.ExitOK
	}
	var e *console.ExitError
	if !errors.As(err, &e) {
		e = &console.ExitError{Code: console.ExitFailure, Err: err}
	}
	if e.Err != nil {
		fmt.Fprintf(stderr, "radmatch: error: %v\n", e.Err)
	}
	if e.Hint != "" {
		fmt.Fprintf(stderr, "radmatch: hint: %s\n", e.Hint)
	}
	return e.Code
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
	root.PersistentFlags().StringVarP(&a.ConfigFile, "config", "c", "", "configuration file (default $"+site.EnvConfig+", then\nradmatch.yaml here, then "+site.SystemFile+")")
	a.Say = func(text string) { fmt.Fprintf(a.Stderr, "radmatch: note: %s\n", text) }
	root.PersistentPreRun = func(*cobra.Command, []string) {
		if a.ConfigFile == "" {
			a.ConfigFile = site.FindConfig()
		}
	}
	root.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
		return console.UsageError(c.CommandPath()+" --help", "%w", err)
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
		a.nodesCommand(),
		a.storeCommand(),
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
		return console.UsageError(c.CommandPath()+" --help", "unknown command %q%s", args[0], suggestCommand(c, args[0]))
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
