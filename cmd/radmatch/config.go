package main

import (
	"crypto/rand"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/radmatch/radmatch/config"
)

func (a *app) configCommand() *cobra.Command {
	c := &cobra.Command{
		Use:     "config",
		Short:   "Show the configuration reference",
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
