package main

import (
	"context"
	"encoding/base32"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/radmatch/radmatch/mfa/textfile"
	"github.com/radmatch/radmatch/radius/caller"
	"github.com/radmatch/radmatch/radius/wire"
)

// The modes of bench.
const (
	benchTOTP     = "totp"
	benchPassword = "password"
	benchPush     = "push"
	benchStatus   = "status"
)

// bench is one run of the command: its flags.
type bench struct {
	addr       string
	secretFile string
	usersFile  string
	mode       string
	inFlight   int
	logins     int
	duration   time.Duration
	skip       int
	json       bool

	secret *wire.Secret
	users  []benchUser
}

// benchUser is one line of the users file.
type benchUser struct {
	name, password string
	key            []byte // TOTP: SHA-1, six digits, 30 s
}

func (a *app) benchCommand() *cobra.Command {
	b := bench{}
	c := &cobra.Command{
		Use:   "bench [ADDR]",
		Short: "Load a server with logins and report rates and latencies",
		Long: `bench keeps a number of logins in flight against any RADIUS server. Mode totp is
Access-Request with the password, Access-Challenge, Access-Request with the TOTP
code, Access-Accept. Mode password is only the first of these. Mode push opens --logins
logins at once and counts those that wait for --duration without an answer. Mode status
sends Status-Server.

Each line of the users file is a user, a password and a TOTP secret in Base32, with
spaces between. A user signs in at most once in each 30 s step, so that no code is
sent twice: a long run needs many users. Answers are verified; lost requests are
sent again as RFC 5080 says.

Never against a server in production: it fills the audit trail.`,
		Example: "  radmatch bench 127.0.0.1:1812 --secret-file secret --users users.txt --duration 20s",
		Args:    rangeArgs(0, 1, "radmatch bench 127.0.0.1:1812"),
		RunE: func(c *cobra.Command, args []string) error {
			if len(args) == 1 {
				b.addr = args[0]
			}
			return a.bench(c.Context(), &b)
		},
	}
	f := c.Flags()
	f.StringVar(&b.secretFile, "secret-file", "", "file with the shared secret (default: of the client that this machine is in the configuration)")
	f.StringVar(&b.usersFile, "users", "", "file with lines USER PASSWORD BASE32-SECRET")
	f.StringVar(&b.mode, "mode", benchTOTP, "totp, password, push or status")
	f.IntVar(&b.inFlight, "in-flight", 64, "logins under way at once (totp, password, status)")
	f.IntVar(&b.logins, "logins", 0, "stop after this many logins (0: after --duration)")
	f.DurationVar(&b.duration, "duration", 10*time.Second, "stop after this time")
	f.IntVar(&b.skip, "skip", 0, "begin with this line of the users file")
	f.BoolVar(&b.json, "json", false, "report as one line of JSON")
	return c
}

func (a *app) bench(ctx context.Context, b *bench) error {
	if err := b.prepare(ctx, a); err != nil {
		return err
	}
	report, err := b.run(ctx)
	if err != nil {
		return err
	}
	if b.json {
		return json.NewEncoder(a.stdout).Encode(report)
	}
	report.print(a.stdout)
	return nil
}

// prepare checks the flags and reads the files that they name.
func (b *bench) prepare(ctx context.Context, a *app) error {
	const help = "radmatch bench --help"
	switch {
	case b.mode != benchTOTP && b.mode != benchPassword && b.mode != benchPush && b.mode != benchStatus:
		return usageError(help, "--mode must be one of totp, password, push, status; got %q", b.mode)
	case b.inFlight < 1 || b.inFlight > 1<<16:
		return usageError(help, "--in-flight must be 1 to 65536; got %d", b.inFlight)
	case b.mode == benchPush && b.logins < 1:
		return usageError(help, "mode push needs --logins")
	case b.mode != benchStatus && b.usersFile == "":
		return usageError(help, "mode %s needs --users", b.mode)
	}
	if b.mode != benchStatus {
		var err error
		if b.users, err = readBenchUsers(b.usersFile); err != nil {
			return err
		}
		if b.mode == benchPush && b.logins > len(b.users) {
			return usageError(help, "mode push needs a user a login: %d logins, %d users", b.logins, len(b.users))
		}
	}
	if b.addr != "" && b.secretFile != "" {
		secret, err := textfile.Secret(b.secretFile)
		if err != nil {
			return err
		}
		b.secret = wire.NewSecret([]byte(secret))
		addresses, err := caller.Addresses(ctx, b.addr)
		if err != nil {
			return err
		}
		var ways []loginCaller
		for _, address := range addresses {
			ways = append(ways, loginCaller{caller: &caller.Caller{Addr: address, Secret: b.secret}})
		}
		b.addr = answering(ctx, ways).caller.Addr
		return nil
	}
	cfg, err := a.loadConfig()
	if err != nil {
		return err
	}
	l := loginCommand{server: b.addr}
	_, caller, err := l.reach(ctx, cfg)
	if err != nil {
		return err
	}
	b.addr, b.secret = caller.Addr, caller.Secret
	return nil
}

// readBenchUsers reads lines of user, password and TOTP secret.
func readBenchUsers(file string) ([]benchUser, error) {
	text, err := textfile.Read(file, 64<<20)
	if err != nil {
		return nil, err
	}
	var users []benchUser
	n := 0
	for line := range strings.Lines(string(text)) {
		n++
		fields := strings.Fields(line)
		if len(fields) == 0 {
			continue
		}
		if len(fields) != 3 {
			return nil, fmt.Errorf("%s:%d: must be USER PASSWORD BASE32-SECRET", file, n)
		}
		key, err := base32.StdEncoding.WithPadding(base32.NoPadding).DecodeString(strings.TrimRight(strings.ToUpper(fields[2]), "="))
		if err != nil {
			return nil, fmt.Errorf("%s:%d: the secret is not Base32", file, n)
		}
		users = append(users, benchUser{fields[0], fields[1], key})
	}
	if len(users) == 0 {
		return nil, errors.New(file + ": no users")
	}
	return users, nil
}
