package command

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/radmatch/radmatch/cmd/radmatch/console"
	"github.com/radmatch/radmatch/mfa/password"
)

// hashSchemes is never written.
var hashSchemes = map[string]func(string) (string, error){
	"argon2id": password.Hash,
	"bcrypt":   password.BcryptHash,
	"nt":       password.NTHash,
}

func (a *app) hashCommand() *cobra.Command {
	var scheme string
	c := &cobra.Command{
		Use:   "hash",
		Short: "Turn a password into a hash for the users file",
		Long: `Turn a password into a hash for the users file. The password is asked for twice
on a terminal, without showing it, or is one line of the standard input. It is
never an argument: others could read it in the process list.

Use argon2id. nt is needed for MS-CHAPv2 and is as good as the password itself to
anyone who reads the file; it must be in quotes there.`,
		Example: "  radmatch hash\n  radmatch hash --scheme nt < password.txt",
		Args:    exactArgs(0, "radmatch hash"),
		RunE: func(*cobra.Command, []string) error {
			hash, ok := hashSchemes[scheme]
			if !ok {
				return console.UsageError("radmatch hash --scheme argon2id", "--scheme must be argon2id, bcrypt or nt; got %q", scheme)
			}
			pw, err := a.ReadPassword()
			if err != nil {
				return err
			}
			h, err := hash(pw)
			if err != nil {
				return err
			}
			_, err = fmt.Fprintln(a.Stdout, h)
			return err
		},
	}
	c.Flags().StringVar(&scheme, "scheme", "argon2id", "argon2id, bcrypt or nt")
	_ = c.RegisterFlagCompletionFunc("scheme", cobra.FixedCompletions([]string{"argon2id", "bcrypt", "nt"}, cobra.ShellCompDirectiveNoFileComp))
	return c
}
