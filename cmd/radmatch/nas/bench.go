package nas

import (
	"context"
	"encoding/base32"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/radmatch/radmatch/cmd/radmatch/console"
	"github.com/radmatch/radmatch/config"
	"github.com/radmatch/radmatch/mfa/textfile"
	"github.com/radmatch/radmatch/radius/caller"
	"github.com/radmatch/radmatch/radius/wire"
)

// The modes of bench.
const (
	BenchTOTP     = "totp"
	BenchHOTP     = "hotp"
	benchPassword = "password"
	benchPush     = "push"
	benchStatus   = "status"
)

// Bench is one run of the command: its flags.
type Bench struct {
	Addr       string
	SecretFile string
	UsersFile  string
	Mode       string
	InFlight   int
	Rate       float64 // logins a second; 0: InFlight at once
	Logins     int
	Duration   time.Duration
	Skip       int
	JSON       bool

	secret *wire.Secret
	users  []benchUser
}

// benchUser is one line of the users file.
type benchUser struct {
	name, password string
	key            []byte // SHA-1, six digits; TOTP: 30 s
}

// Run loads a server, and reports. load reads the configuration, where the flags do not
// say all.
func (b *Bench) Run(ctx context.Context, s console.Streams, load func() (*config.Config, error)) error {
	if err := b.prepare(ctx, load); err != nil {
		return err
	}
	report, err := b.measure(ctx)
	if err != nil {
		return err
	}
	if b.JSON {
		return json.NewEncoder(s.Stdout).Encode(report)
	}
	report.print(s.Stdout)
	return nil
}

// prepare checks the flags and reads the files that they name.
func (b *Bench) prepare(ctx context.Context, load func() (*config.Config, error)) error {
	const help = "radmatch bench --help"
	switch {
	case b.Mode != BenchTOTP && b.Mode != BenchHOTP && b.Mode != benchPassword && b.Mode != benchPush && b.Mode != benchStatus:
		return console.UsageError(help, "--mode must be one of totp, hotp, password, push, status; got %q", b.Mode)
	case b.Rate < 0 || b.Rate > 100_000:
		return console.UsageError(help, "--rate must be 0 to 100000 logins a second; got %v", b.Rate)
	case b.InFlight < 1 || b.InFlight > 1<<16:
		return console.UsageError(help, "--in-flight must be 1 to 65536; got %d", b.InFlight)
	case b.Mode == benchPush && b.Logins < 1:
		return console.UsageError(help, "mode push needs --logins")
	case b.Mode != benchStatus && b.UsersFile == "":
		return console.UsageError(help, "mode %s needs --users", b.Mode)
	}
	if b.Mode != benchStatus {
		var err error
		if b.users, err = readBenchUsers(b.UsersFile); err != nil {
			return err
		}
		if b.Mode == benchPush && b.Logins > len(b.users) {
			return console.UsageError(help, "mode push needs a user a login: %d logins, %d users", b.Logins, len(b.users))
		}
	}
	if b.Addr != "" && b.SecretFile != "" {
		secret, err := textfile.Secret(b.SecretFile)
		if err != nil {
			return err
		}
		b.secret = wire.NewSecret([]byte(secret))
		addresses, err := caller.Addresses(ctx, b.Addr)
		if err != nil {
			return err
		}
		var ways []loginCaller
		for _, address := range addresses {
			ways = append(ways, loginCaller{caller: &caller.Caller{Addr: address, Secret: b.secret}})
		}
		b.Addr = answering(ctx, ways).caller.Addr
		return nil
	}
	cfg, err := load()
	if err != nil {
		return err
	}
	l := Login{Server: b.Addr}
	_, caller, err := l.reach(ctx, cfg)
	if err != nil {
		return err
	}
	b.Addr, b.secret = caller.Addr, caller.Secret
	return nil
}

// codes reports whether a login has a passcode.
func (b *Bench) codes() bool { return b.Mode == BenchTOTP || b.Mode == BenchHOTP }

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
