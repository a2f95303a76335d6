package main

import "github.com/spf13/cobra"

func (a *app) loginCommand() *cobra.Command {
	var l loginCommand
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
			l.user = args[0]
			cfg, err := a.loadConfig()
			if err != nil {
				return err
			}
			return l.run(c.Context(), a.streams, cfg)
		},
	}
	c.Flags().StringVar(&l.client, "client", "", "the client to act as; its addresses must include this machine's")
	c.Flags().StringVar(&l.server, "server", "", "address of the server, HOST:PORT (default: the first of listen.radius)")
	c.Flags().StringVar(&l.endUser, "from", "", "Calling-Station-Id to send (default: the address it sends from)")
	c.Flags().BoolVar(&l.stdin, "password-stdin", false, "read password and answers from standard input, even from a terminal")
	jsonFlag(c, &l.json)
	c.Flags().BoolVar(&l.mschap, "mschapv2", false, "prove the password by MS-CHAPv2 instead of PAP")
	return c
}
