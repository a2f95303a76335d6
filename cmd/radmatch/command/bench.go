package command

import (
	"time"

	"github.com/spf13/cobra"

	"github.com/radmatch/radmatch/cmd/radmatch/nas"
)

func (a *app) benchCommand() *cobra.Command {
	b := nas.Bench{}
	c := &cobra.Command{
		Use:   "bench [ADDR]",
		Short: "Load a server with logins; report rates and latencies",
		Long: `bench keeps a number of logins in flight against any RADIUS server, or with --rate begins
so many a second, however long they take: then a login's time counts from when it was due,
so that a server that stands still cannot hide it. Mode totp sends
Access-Request with the password, Access-Challenge, Access-Request with the TOTP
code, Access-Accept. Mode hotp does so with codes of a counter, which begins at 0. Mode
password is only the first of these. Mode push opens --logins
logins at once and counts those that wait for --duration without an answer. Mode status
sends Status-Server.

Each line of the users file is a user, a password and a TOTP or HOTP secret in Base32,
with spaces between. By TOTP a user signs in at most once in each 30 s step, so that no
code is sent twice: a long run needs many users. Answers are verified; lost requests are
sent again as RFC 5080 says.

Never against a server in production: it fills the audit trail.`,
		Example: "  radmatch bench 127.0.0.1:1812 --secret-file secret --users users.txt --duration 20s",
		Args:    rangeArgs(0, 1, "radmatch bench 127.0.0.1:1812"),
		RunE: func(c *cobra.Command, args []string) error {
			if len(args) == 1 {
				b.Addr = args[0]
			}
			return b.Run(c.Context(), a.Streams, a.LoadConfig)
		},
	}
	f := c.Flags()
	f.StringVar(&b.SecretFile, "secret-file", "", "file with the shared secret (default: of the client that this machine is in the configuration)")
	f.StringVar(&b.UsersFile, "users", "", "file with lines USER PASSWORD BASE32-SECRET")
	f.StringVar(&b.Mode, "mode", nas.BenchTOTP, "totp, hotp, password, push or status")
	f.IntVar(&b.InFlight, "in-flight", 64, "logins under way at once (totp, hotp, password, status)")
	f.Float64Var(&b.Rate, "rate", 0, "logins that begin each second, instead of --in-flight")
	f.IntVar(&b.Logins, "logins", 0, "stop after this many logins (0: after --duration)")
	f.DurationVar(&b.Duration, "duration", 10*time.Second, "stop after this time")
	f.IntVar(&b.Skip, "skip", 0, "begin with this line of the users file")
	f.BoolVar(&b.JSON, "json", false, "report as one line of JSON")
	return c
}
