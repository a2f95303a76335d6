package main

import (
	"crypto/rand"
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/radmatch/radmatch/config"
)

// loadConfig reads the file of -c. Its error has every problem, one a line, and
// exit code 3.
func (a *app) loadConfig() (*config.Config, error) {
	cfg, err := readConfig(a.configFile)
	if err == nil {
		return cfg, nil
	}
	hint := "radmatch check -c " + a.configFile
	if _, statErr := os.Stat(a.configFile); errors.Is(statErr, os.ErrNotExist) {
		hint = "radmatch quickstart, or -c FILE"
	}
	var problems config.Problems
	if errors.As(err, &problems) {
		err = problems.Errors()
	}
	return nil, &exitError{code: exitConfig, err: err, hint: hint}
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
	var markdown bool
	c := &cobra.Command{
		Use:   "describe",
		Short: "Print a file with every key, what it means and its default",
		Long: `Print a file with every key, what it means and its default. It loads as it is, with a
new shared secret in it.`,
		Example: "  radmatch config describe >radmatch.yaml\n  radmatch config describe --markdown >docs/configuration.md",
		Args:    exactArgs(0, "radmatch config describe"),
		RunE: func(*cobra.Command, []string) error {
			text := config.Markdown(known())
			if !markdown {
				text = config.Describe(known(), rand.Text())
			}
			_, err := fmt.Fprint(a.stdout, text)
			return err
		},
	}
	c.Flags().BoolVar(&markdown, "markdown", false, "print the reference of the documentation")
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
