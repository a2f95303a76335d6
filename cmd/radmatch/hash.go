package main

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/radmatch/radmatch/mfa/password"
	"github.com/radmatch/radmatch/mfa/textfile"
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

argon2id is what to use. nt is needed for MS-CHAPv2 and is as good as the
password itself to anyone who reads the file; it must stand in quotes there.`,
		Example: "  radmatch hash\n  radmatch hash --scheme nt < password.txt",
		Args:    exactArgs(0, "radmatch hash"),
		RunE: func(*cobra.Command, []string) error {
			hash, ok := hashSchemes[scheme]
			if !ok {
				return usageError("radmatch hash --scheme argon2id", "--scheme must be argon2id, bcrypt or nt; got %q", scheme)
			}
			pw, err := a.readPassword()
			if err != nil {
				return err
			}
			h, err := hash(pw)
			if err != nil {
				return err
			}
			_, err = fmt.Fprintln(a.stdout, h)
			return err
		},
	}
	c.Flags().StringVar(&scheme, "scheme", "argon2id", "argon2id, bcrypt or nt")
	_ = c.RegisterFlagCompletionFunc("scheme", cobra.FixedCompletions([]string{"argon2id", "bcrypt", "nt"}, cobra.ShellCompDirectiveNoFileComp))
	return c
}

// readPassword asks for a new password twice on a terminal, and else takes one
// line of the standard input, as it is but for the line's end.
func (a *app) readPassword() (string, error) {
	if f, ok := a.stdin.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		first, err := a.askPassword(f, "Password: ")
		if err != nil {
			return "", err
		}
		second, err := a.askPassword(f, "Again: ")
		if err != nil {
			return "", err
		}
		if first != second {
			return "", errors.New("the two passwords differ")
		}
		return first, nil
	}
	const longest = 4096
	text, err := textfile.ReadFrom(a.stdin, 0, longest)
	if err != nil {
		return "", fmt.Errorf("standard input: %w", err)
	}
	line, _, _ := strings.Cut(string(text), "\n")
	if line == "" {
		return "", withHint("radmatch hash < FILE, or type it on a terminal", errors.New("no password on the standard input"))
	}
	return line, nil
}

func (a *app) askPassword(f *os.File, prompt string) (string, error) {
	restore, err := echoOff(f)
	if err != nil {
		return "", fmt.Errorf("terminal: %w", err)
	}
	fmt.Fprint(a.stderr, prompt)
	line, err := term.ReadPassword(int(f.Fd()))
	fmt.Fprintln(a.stderr)
	if err := errors.Join(err, restore()); err != nil {
		return "", fmt.Errorf("terminal: %w", err)
	}
	return string(line), nil
}
