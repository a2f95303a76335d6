package providers

import (
	"errors"
	"fmt"
	"io"
	"slices"

	"go.uber.org/zap"

	"github.com/radmatch/radmatch/config"
	"github.com/radmatch/radmatch/mfa"
	"github.com/radmatch/radmatch/mfa/device"
	"github.com/radmatch/radmatch/mfa/password"
	"github.com/radmatch/radmatch/mfa/password/ldap"
	"github.com/radmatch/radmatch/mfa/push"
	"github.com/radmatch/radmatch/radius/profile"
	"github.com/radmatch/radmatch/radius/upstream"
	"github.com/radmatch/radmatch/radius/wire"
)

// A provider is one file or folder in mfa/password, mfa/push or radius, and one row in a
// table here. The tables are never written.

// Parts is what outlives a reload and constructors build upon.
type Parts struct {
	Gate     *password.Gate
	Approver *push.Approver
	// Callbacks and Registered are for push providers whose devices are not ours.
	Callbacks  *push.Callbacks
	Registered device.Registrations
	Dictionary *wire.Dictionary // that of the configuration
	Log        *zap.Logger      // for what providers do by themselves
	above      Primaries        // of the entry that is built: those before it, and once all are built, all
	name       string           // of the entry that is built
}

// CommandParts are for a command, which serves no client and whose log is not read.
func CommandParts(cfg *config.Config) (Parts, error) {
	d, err := OpenDictionary(cfg)
	return Parts{Gate: password.NewGate(), Dictionary: d, Log: zap.NewNop()}, err
}

// provider is how one type of primary or push provider is built from its
// section of the file.
type provider[T any] struct {
	settings any // zero value of the struct with the keys of the section
	open     func(cfg *config.Config, p Parts, settings any) (T, error)
}

// row makes a provider of a constructor that has typed settings.
func row[T, S any](open func(*config.Config, Parts, *S) (T, error)) provider[T] {
	var zero S
	return provider[T]{settings: zero, open: func(cfg *config.Config, p Parts, settings any) (T, error) {
		return open(cfg, p, settings.(*S))
	}}
}

var primaryTypes = map[string]provider[mfa.PasswordChecker]{
	"sequence": row(openSequence),
	"file":     row(openFile),
	"ldap":     row(openLDAP),
	"radius":   row(openUpstream),
	"none":     row(openNone),
}

var pushTypes = map[string]provider[mfa.Pusher]{
	"approver": row(openApprover),
	"ntfy":     row(openNtfy),
	"webhook":  row(openWebhook),
}

func openFile(cfg *config.Config, p Parts, s *password.FileSettings) (mfa.PasswordChecker, error) {
	path := cfg.Resolve(s.Path)
	f, err := password.OpenFile(path, p.Dictionary.ParseAttribute, p.Gate)
	if err != nil {
		return nil, err
	}
	return f, f.CheckReplies(path, wire.CheckReply)
}

func openLDAP(cfg *config.Config, p Parts, s *ldap.Settings) (mfa.PasswordChecker, error) {
	directory, err := ldap.Open(s, ldap.Parts{
		Resolve: cfg.Resolve, ReadSecret: cfg.ReadSecret, Encode: p.Dictionary.ParseDirectoryAttribute, CheckReply: wire.CheckReply, Logger: p.Log,
	})
	if err != nil {
		return nil, err
	}
	directory.Taken = p.above.inFile
	return directory, nil
}

// openUpstream asks no server: the first login does.
func openUpstream(cfg *config.Config, p Parts, s *upstream.Settings) (mfa.PasswordChecker, error) {
	own := *s
	own.Servers = slices.Clone(s.Servers)
	for i := range own.Servers {
		if own.Servers[i].SecretFile == "" {
			continue
		}
		secret, err := cfg.ReadSecret(own.Servers[i].SecretFile)
		if err != nil {
			return nil, fmt.Errorf("servers[%d].secret_file: %w", i, err)
		}
		own.Servers[i].Secret = mfa.Password(secret)
	}
	u, err := upstream.New(&own, p.Dictionary, p.Log)
	if err != nil {
		return nil, err
	}
	u.Taken = p.above.inFile
	return u, nil
}

func openSequence(_ *config.Config, p Parts, s *password.SequenceSettings) (mfa.PasswordChecker, error) {
	var sequence password.Sequence
	for i, name := range s.Primaries {
		m, ok := p.above[name].(password.Member)
		if !ok || slices.Index(s.Primaries, name) != i {
			return nil, fmt.Errorf("primaries[%d]: must be the name of another primary of type ldap or file that stands above; got %q", i, name)
		}
		sequence = append(sequence, m)
	}
	if len(sequence) == 0 {
		return nil, errors.New("primaries: must have a name")
	}
	return sequence, nil
}

func openNone(_ *config.Config, p Parts, s *password.NoneSettings) (mfa.PasswordChecker, error) {
	n := password.NewNone(s)
	n.Taken = p.above.Taken
	return n, nil
}

// approverSettings is empty: devices are enrolled with `radmatch device invite`.
type approverSettings struct{}

// OwnDevices reports whether the devices of a push provider are our own.
func OwnDevices(e config.Provider) bool {
	_, ours := e.Settings.(*approverSettings)
	return ours
}

func openApprover(_ *config.Config, p Parts, _ *approverSettings) (mfa.Pusher, error) {
	return p.Approver, nil
}

func openNtfy(cfg *config.Config, p Parts, s *push.NtfySettings) (mfa.Pusher, error) {
	n, err := push.OpenNtfy(s, p.providerParts(cfg))
	switch {
	case err != nil:
		return nil, err
	case s.AllowChoice:
		return push.NtfyChoice{Ntfy: n}, nil
	}
	return n, nil
}

func openWebhook(cfg *config.Config, p Parts, s *push.WebhookSettings) (mfa.Pusher, error) {
	h, err := push.OpenWebhook(s, p.providerParts(cfg))
	if err != nil {
		return nil, err // not a nil *push.Webhook, which is a Pusher
	}
	return h, nil
}

func (p Parts) providerParts(cfg *config.Config) push.ProviderParts {
	return push.ProviderParts{
		Name: p.name, PublicURL: cfg.PublicURL(), Callbacks: p.Callbacks, Registrations: p.Registered,
		Resolve: cfg.Resolve, ReadSecret: cfg.ReadSecret,
	}
}

// Primaries are the primaries of the file, by name.
type Primaries map[string]mfa.PasswordChecker

// OpenPrimaries builds every primary of the file. The error has the line of the
// one that cannot be built. It asks none of them anything: a directory that is
// down must not keep the server from starting.
func OpenPrimaries(cfg *config.Config, p Parts) (Primaries, error) {
	built := Primaries{}
	for _, e := range cfg.Primaries {
		if _, err := OpenPrimary(cfg, p, built, e); err != nil {
			return nil, errors.Join(err, built.Close())
		}
	}
	if err := checkSharedUsers(cfg, built); err != nil {
		return nil, errors.Join(err, built.Close())
	}
	return built, nil
}

// OpenPrimary builds the primary of one entry and adds it to those that are built
// already: those of the entries above it.
func OpenPrimary(cfg *config.Config, p Parts, built Primaries, e config.Provider) (mfa.PasswordChecker, error) {
	p.above = built
	t, err := open(cfg, p, primaryTypes, e)
	if err == nil {
		built[e.Name] = t
	}
	return t, err
}

// Close lets go of the connections and processes that primaries keep.
func (ps Primaries) Close() error {
	var found []error
	for _, p := range ps {
		if c, ok := p.(io.Closer); ok {
			found = append(found, c.Close())
		}
	}
	return errors.Join(found...)
}

// OpenPushers builds every push provider of the file, by name.
func OpenPushers(cfg *config.Config, p Parts) (map[string]mfa.Pusher, error) {
	built := map[string]mfa.Pusher{}
	for _, e := range cfg.Push {
		t, err := OpenPusher(cfg, p, e)
		if err != nil {
			return nil, err
		}
		built[e.Name] = t
	}
	return built, nil
}

// OpenPusher builds the push provider of one entry.
func OpenPusher(cfg *config.Config, p Parts, e config.Provider) (mfa.Pusher, error) {
	return open(cfg, p, pushTypes, e)
}

func open[T any](cfg *config.Config, p Parts, types map[string]provider[T], e config.Provider) (T, error) {
	p.name = e.Name
	t, err := types[e.Type].open(cfg, p, e.Settings)
	if err != nil {
		return t, fmt.Errorf("%s: %w", e.Where, err)
	}
	return t, nil
}

// Known is what the file may name.
func Known() config.Known {
	k := config.Known{Primaries: map[string]any{}, Push: map[string]any{}, Profiles: map[string]map[string]any{}}
	for name, t := range primaryTypes {
		k.Primaries[name] = t.settings
	}
	for name, t := range pushTypes {
		k.Push[name] = t.settings
	}
	for _, p := range profile.All() {
		k.Profiles[p.Name] = profileKeys(p)
		if p.NoPassword {
			k.NoPassword = append(k.NoPassword, p.Name)
		}
	}
	k.Field = func(name string) error {
		_, err := profile.ParseField(name)
		return err
	}
	return k
}
