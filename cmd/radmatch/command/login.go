package command

import (
	"github.com/spf13/cobra"

	"github.com/radmatch/radmatch/cmd/radmatch/nas"
)

func (a *app) loginCommand() *cobra.Command {
	var l nas.Login
	c := &cobra.Command{
		Use:   "login USER",
		Short: "Sign in as a client would, and show each round",
		Long: `login sends the Access-Request of one login to the running server of this
configuration and shows each round. It needs a client whose addresses hold this
machine's, because the server knows its clients by address.

The password is asked for on the terminal. If standard input is not a terminal, its
first line is the password, and each further line answers a challenge.

Exit codes: 0 accepted, 4 rejected, 5 no answer.`,
		Example: "  radmatch login alice\n  printf 'password\\n123456\\n' | radmatch login alice\n  radmatch login alice --mschapv2",
		Args:    exactArgs(1, "radmatch login USER"),
		RunE: func(c *cobra.Command, args []string) error {
			l.User = args[0]
			cfg, err := a.LoadConfig()
			if err != nil {
				return err
			}
			return l.Run(c.Context(), a.Streams, cfg)
		},
	}
	c.Flags().StringVar(&l.Client, "client", "", "the client to act as; its addresses must include this machine's")
	c.Flags().StringVar(&l.Server, "server", "", "address of the server, HOST:PORT (default: the first of listen.radius)")
	c.Flags().StringVar(&l.EndUser, "from", "", "Calling-Station-Id to send (default: the address it sends from)")
	c.Flags().BoolVar(&l.Stdin, "password-stdin", false, "read password and answers from standard input, even from a terminal")
	jsonFlag(c, &l.JSON)
	c.Flags().BoolVar(&l.MSCHAPv2, "mschapv2", false, "prove the password by MS-CHAPv2 instead of PAP")
	return c
}
