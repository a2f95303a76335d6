package main

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/spf13/cobra"

	"github.com/radmatch/radmatch/config"
)

// systemFile is where packages put the configuration.
const systemFile = "/etc/radmatch/radmatch.yaml"

// envConfig names the file where -c does not.
const envConfig = "RADMATCH_CONFIG"

// findConfig returns the configuration file of a command without -c: what the
// environment names, else the one in this folder, else the one of the system.
func findConfig(lookupEnv func(string) (string, bool), exists func(string) bool) string {
	const local = "radmatch.yaml"
	if file, _ := lookupEnv(envConfig); file != "" {
		return file
	}
	if !exists(local) && exists(systemFile) {
		return systemFile
	}
	return local
}

// exists reports whether there is something at a path, be it readable or not.
func exists(path string) bool {
	_, err := os.Lstat(path)
	return !errors.Is(err, fs.ErrNotExist)
}

// loadConfig reads the file of -c. Its error has every problem, one a line, and
// exit code 3.
func (a *app) loadConfig() (*config.Config, error) {
	cfg, err := readConfig(a.configFile)
	return cfg, a.explainConfig(err)
}

// loadForCommand is loadConfig for a command that talks to no client: it leaves the
// files with their secrets alone.
func (a *app) loadForCommand() (*config.Config, error) {
	k := known()
	k.LookupEnv, k.NoSecrets = os.LookupEnv, true
	cfg, err := config.Load(a.configFile, k)
	return cfg, a.explainConfig(err)
}

// explainConfig gives what is wrong with the file its exit code and a hint.
func (a *app) explainConfig(err error) error {
	if err == nil {
		return nil
	}
	hint := "radmatch check -c " + a.configFile
	if _, statErr := os.Stat(a.configFile); errors.Is(statErr, os.ErrNotExist) {
		hint = "radmatch quickstart, or -c FILE, or " + envConfig + "=FILE"
	}
	var problems config.Problems
	if errors.As(err, &problems) {
		err = problems.Errors()
	}
	return &exitError{code: exitConfig, err: err, hint: hint}
}

func readConfig(file string) (*config.Config, error) {
	k := known()
	k.LookupEnv = os.LookupEnv
	return config.Load(file, k)
}

func (a *app) configCommand() *cobra.Command {
	c := &cobra.Command{
		Use:     "config",
		Short:   "What radmatch.yaml may say",
		Example: "  radmatch config describe\n  radmatch config profiles\n  radmatch config schema >radmatch.schema.json",
	}
	c.AddCommand(a.describeCommand(), a.schemaCommand(), a.profilesCommand())
	return c
}

func (a *app) describeCommand() *cobra.Command {
	var markdown, all bool
	c := &cobra.Command{
		Use:   "describe",
		Short: "Print a file with the keys that most sites need, each explained",
		Long: `Print a file with the keys that most sites need, what each means and its default; with
--all, a file with every key. It loads as it is, with a new shared secret in it.`,
		Example: "  radmatch config describe >radmatch.yaml\n  radmatch config describe --all\n  radmatch config describe --markdown >docs/configuration.md",
		Args:    exactArgs(0, "radmatch config describe"),
		RunE: func(*cobra.Command, []string) error {
			text := config.Markdown(known())
			if !markdown {
				text = config.Describe(known(), rand.Text(), all)
			}
			_, err := fmt.Fprint(a.stdout, text)
			return err
		},
	}
	c.Flags().BoolVar(&all, "all", false, "print every key")
	c.Flags().BoolVar(&markdown, "markdown", false, "print the reference of the documentation")
	c.MarkFlagsMutuallyExclusive("all", "markdown")
	return c
}

func (a *app) schemaCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "schema",
		Short: "Print the JSON Schema of the file, for editors",
		Long: `Print the JSON Schema of the file (draft 2020-12). With the YAML language server, this
first line of radmatch.yaml makes an editor complete and check it:

  # yaml-language-server: $schema=radmatch.schema.json`,
		Example: "  radmatch config schema >radmatch.schema.json",
		Args:    exactArgs(0, "radmatch config schema"),
		RunE: func(*cobra.Command, []string) error {
			schema, err := config.Schema(known())
			if err != nil {
				return err
			}
			_, err = fmt.Fprintf(a.stdout, "%s\n", schema)
			return err
		},
	}
}
