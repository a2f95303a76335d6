package command

import (
	"crypto/rand"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/radmatch/radmatch/cmd/radmatch/console"
	"github.com/radmatch/radmatch/cmd/radmatch/providers"
	"github.com/radmatch/radmatch/cmd/radmatch/report"
	"github.com/radmatch/radmatch/config"
	"github.com/radmatch/radmatch/radius/profile"
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
			text := config.Markdown(providers.Known())
			if !markdown {
				text = config.Describe(providers.Known(), rand.Text(), all)
			}
			_, err := fmt.Fprint(a.Stdout, text)
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
			schema, err := config.Schema(providers.Known())
			if err != nil {
				return err
			}
			_, err = fmt.Fprintf(a.Stdout, "%s\n", schema)
			return err
		},
	}
}

func (a *app) profilesCommand() *cobra.Command {
	var markdown, asJSON bool
	c := &cobra.Command{
		Use:   "profiles",
		Short: "List the client profiles: what each make of VPN concentrator can do",
		Long: `List the values of profile, with what radmatch knows of each make of VPN concentrator,
gateway or host. The NAS timeout is how long a device waits if nothing was set on it;
radmatch answers before it ends. Each value can be
overridden in the client: prompts, shows_reply_message, end_user, address_attribute,
nas_timeout and the keys of mfa:.`,
		Example: "  radmatch config profiles",
		Args:    exactArgs(0, "radmatch config profiles"),
		RunE: func(*cobra.Command, []string) error {
			switch {
			case markdown:
				return report.PrintMarkdown(a.Stdout)
			case asJSON:
				return console.PrintEach(a.Streams, profile.All(), report.NewProfile)
			}
			return report.PrintProfiles(a.Stdout)
		},
	}
	c.Flags().BoolVar(&markdown, "markdown", false, "print the table of docs/clients.md")
	jsonFlag(c, &asJSON)
	c.MarkFlagsMutuallyExclusive("markdown", "json")
	return c
}
