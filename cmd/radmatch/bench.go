package main

import (
	"context"
	"encoding/base32"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/radmatch/radmatch/config"
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

// run loads a server, and reports. load reads the configuration, where the flags do not
// say all.
func (b *bench) run(ctx context.Context, s streams, load func() (*config.Config, error)) error {
	if err := b.prepare(ctx, load); err != nil {
		return err
	}
	report, err := b.measure(ctx)
	if err != nil {
		return err
	}
	if b.json {
		return json.NewEncoder(s.stdout).Encode(report)
	}
	report.print(s.stdout)
	return nil
}

// prepare checks the flags and reads the files that they name.
func (b *bench) prepare(ctx context.Context, load func() (*config.Config, error)) error {
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
	cfg, err := load()
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
