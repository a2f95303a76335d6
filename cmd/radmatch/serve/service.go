package serve

import (
	"errors"
	"fmt"
	"slices"
	"sync/atomic"

	"github.com/radmatch/radmatch/cmd/radmatch/providers"
	"github.com/radmatch/radmatch/config"
	"github.com/radmatch/radmatch/mfa"
	"github.com/radmatch/radmatch/mfa/login"
	"github.com/radmatch/radmatch/mfa/password"
	"github.com/radmatch/radmatch/radius"
	"github.com/radmatch/radmatch/radius/profile"
	"github.com/radmatch/radmatch/radius/wire"
)

// lasting is what a reload must not lose. It is made once, before the first
// service, and every engine works on it.
type lasting struct {
	providers.Parts
	pending   *login.Pending
	limits    *login.Limits
	refusals  *login.Refusals
	directory mfa.Directory
	bypasses  mfa.Bypasses
	codes     mfa.CodeVerifier
	follow    func(func(mfa.Event))        // the store's: who hears of entries
	engine    atomic.Pointer[login.Engine] // of the service in use
	serving   providers.Primaries          // of the service in use; only the goroutine of serve touches it
}

// use has an engine hear of entries, and of devices that connect, from now on.
func (l *lasting) use(e *login.Engine) {
	l.follow(e.Apply)
	l.engine.Store(e)
}

// elsewhere brings a user's prompt of another node to the engine in use.
func (l *lasting) elsewhere(user mfa.Name) (id string) {
	if e := l.engine.Load(); e != nil {
		return e.Show(user)
	}
	return ""
}

// service is what a reload exchanges, with what must be closed once another is
// in its place.
type service struct {
	radius.Service
	primaries providers.Primaries
	engine    *login.Engine
}

// newService builds the client table and the engine of cfg, which are swapped
// as one. Nothing of it is in use before it is complete.
func newService(cfg *config.Config, l *lasting) (*service, error) {
	p := l.Parts
	var err error
	if p.Dictionary, err = providers.OpenDictionary(cfg); err != nil {
		return nil, err
	}
	primaries, err := providers.OpenPrimaries(cfg, p)
	if err != nil {
		return nil, err
	}
	s, err := serviceOf(cfg, l, p, primaries)
	if err != nil {
		return nil, errors.Join(err, primaries.Close())
	}
	s.primaries = primaries
	return s, nil
}

func serviceOf(cfg *config.Config, l *lasting, p providers.Parts, primaries providers.Primaries) (*service, error) {
	pushers, err := providers.OpenPushers(cfg, p)
	if err != nil {
		return nil, err
	}
	var clients []radius.Client
	policies := make(map[string]*mfa.Client)
	for i := range cfg.Clients {
		c, err := newClient(cfg, &cfg.Clients[i], p.Dictionary, primaries, pushers)
		if err != nil {
			return nil, err
		}
		clients = append(clients, c)
		policies[c.Name] = c.Policy
	}
	table, err := radius.NewTable(clients)
	if err != nil {
		return nil, err
	}
	engine := newEngine(cfg, l)
	engine.Clients = policies
	if l.Approver != nil {
		engine.Watched = l.Approver.Watches
	}
	return &service{Service: radius.Service{Table: table, Authenticator: engine}, engine: engine}, nil
}

// newEngine joins what lasts and the rules of cfg.
func newEngine(cfg *config.Config, l *lasting) *login.Engine {
	return &login.Engine{
		Pending:   l.pending,
		Limits:    l.limits,
		Refusals:  l.refusals,
		Directory: l.directory,
		Codes:     l.codes,
		Bypasses:  l.bypasses,
		Policy: mfa.Policy{
			NumberMatching: feature(cfg.Policy.NumberMatching), ShowApplicationName: feature(cfg.Policy.ShowApplicationName),
			ShowLocation: feature(cfg.Policy.ShowLocation),
		},
		Lockout:     lockoutRule(cfg),
		Fatigue:     fatigueRule(cfg),
		PromptLimit: promptsRule(cfg),

		NotMeBlocks: cfg.Fatigue.NotMeBlocksUser,
	}
}

func lockoutRule(cfg *config.Config) login.Rule {
	return login.Rule{Max: cfg.Lockout.Passcodes, Window: cfg.Lockout.Window, For: cfg.Lockout.For}
}

func fatigueRule(cfg *config.Config) login.Rule {
	return login.Rule{Max: cfg.Fatigue.Prompts, Window: cfg.Fatigue.Window, For: cfg.Fatigue.For}
}

func promptsRule(cfg *config.Config) login.Rule {
	return login.Rule{Max: cfg.Fatigue.Total, Window: cfg.Fatigue.Window}
}

// newClient joins one client's profile, settings and providers.
func newClient(cfg *config.Config, c *config.Client, d *wire.Dictionary, primaries providers.Primaries, pushers map[string]mfa.Pusher) (radius.Client, error) {
	profile, err := providers.NewProfile(c)
	if err != nil {
		return radius.Client{}, fmt.Errorf("client %q: %w", c.Name, err)
	}
	require, err := radius.ParseRequire(string(c.MFA.RequireMessageAuthenticator))
	if err != nil {
		return radius.Client{}, fmt.Errorf("client %q: require_message_authenticator: %w", c.Name, err)
	}
	policy, err := newPolicy(cfg, c, profile)
	if err != nil {
		return radius.Client{}, fmt.Errorf("client %q: %w", c.Name, err)
	}
	if policy.GroupReplies, err = providers.GroupReplies(c.MFA.GroupReplies, d); err != nil {
		return radius.Client{}, err
	}
	if err := setPrimary(policy, c.Primary, primaries); err != nil {
		return radius.Client{}, fmt.Errorf("client %q: primary: %w", c.Name, err)
	}
	if err := setPusher(policy, c.MFA.Push, pushers); err != nil {
		return radius.Client{}, fmt.Errorf("client %q: %w", c.Name, err)
	}
	client := radius.Client{
		Name: c.Name, Prefixes: c.Addresses, RequireMA: require,
		RejectDelay: c.MFA.RejectDelay, Profile: profile, Policy: policy, AnyNASType: !c.MFA.RequireNASType,
	}
	client.Behind = c.Behind
	client.Identifiers, client.NASPrefixes = c.ByNAS()
	for _, s := range c.Secret {
		client.Secrets = append(client.Secrets, []byte(s))
	}
	return client, nil
}

// setPusher gives a client its push provider, empty: none.
func setPusher(policy *mfa.Client, name string, all map[string]mfa.Pusher) error {
	if name != "" {
		if policy.Pusher = all[name]; policy.Pusher == nil {
			return fmt.Errorf("no push provider %q", name)
		}
		policy.PushAbilities = policy.Pusher.Abilities()
	}
	if !policy.OwnDevices {
		policy.PushProvider = name
	}
	switch {
	case policy.NumberInPrompt && !policy.ChecksNumbers:
		return fmt.Errorf("number_in_prompt: the devices of push provider %q cannot check a number", name)
	case policy.NumberFromDevice && !policy.ShowsCodes:
		return fmt.Errorf("number_from_device: the devices of push provider %q cannot show a code", name)
	}
	return nil
}

// setPrimary gives a client its primary. A client that sends requests without a
// password needs one that finds users without it; where it names none, names are
// taken as they come and every password is refused.
func setPrimary(policy *mfa.Client, name string, all providers.Primaries) error {
	policy.Primary = all[name]
	if name == "" && policy.NoPassword {
		policy.Primary = &password.None{Taken: all.Taken}
	}
	if policy.Primary == nil {
		return fmt.Errorf("there is none named %q", name)
	}
	policy.Abilities = policy.Primary.Abilities()
	switch {
	case policy.ChecksNothing && !policy.NoPassword:
		return fmt.Errorf("must check passwords: %q is of type none, which is only for the profile rdgateway", name)
	case policy.Finder == nil && policy.NoPassword:
		return fmt.Errorf("must be able to look a user up without a password; %q cannot. Use one of type ldap, file or none", name)
	}
	return nil
}

// newPolicy is what the engine knows of a client, its providers aside.
func newPolicy(cfg *config.Config, c *config.Client, kind *profile.Profile) (*mfa.Client, error) {
	onPrimary, err := onError(c.MFA.OnPrimaryError)
	if err != nil {
		return nil, fmt.Errorf("on_primary_error: %w", err)
	}
	onMFA, err := onError(c.MFA.OnMFAError)
	if err != nil {
		return nil, fmt.Errorf("on_mfa_error: %w", err)
	}
	override, origin := c.OverrideOTP()
	return &mfa.Client{
		Name: c.Name, Group: c.Group, Behind: c.Behind,
		Prompts: kind.Prompts, ShowsMessage: kind.ShowsReplyMessage, NoPassword: kind.NoPassword,
		StaticChallenge: kind.StaticChallenge, Append: mfa.AppendStyle(c.MFA.Append), AppendDelimiter: c.MFA.AppendDelimiter,
		AllowGroups: mfa.GroupsOf(c.AllowGroups...), ExemptClient: c.ExemptClient,
		ExemptGroups: mfa.GroupsOf(c.MFA.Exempt.Groups...), ExemptAddresses: c.MFA.Exempt.Addresses,
		RequireGroups: mfa.GroupsOf(c.MFA.Require.Groups...), RequireAddresses: c.MFA.Require.Addresses,
		Override: override, OverrideOrigin: origin,
		NumberInPrompt:   c.MFA.NumberInPrompt,
		NumberFromDevice: c.MFA.NumberFromDevice,
		RequireMatching:  c.MFA.RequireNumberMatching,
		NoPAP:            !slices.Contains(c.MFA.Credentials, "pap"),
		NoMSCHAP:         !slices.Contains(c.MFA.Credentials, "mschapv2"),
		RequireUserMatch: c.MFA.RequireUserMatch,
		Join:             c.MFA.Join,
		Remember:         c.MFA.Remember,
		PushTimeout:      c.MFA.PushTimeout, ChallengeTTL: c.MFA.ChallengeTTL,
		OnPrimaryError: onPrimary, OnMFAError: onMFA,
		RejectDelay: c.MFA.RejectDelay,
	}, nil
}

func feature(f config.Feature) mfa.Feature {
	return mfa.Feature{Enabled: f.Enabled(), Include: mfa.GroupsOf(f.Include...), Exclude: mfa.GroupsOf(f.Exclude...)}
}

// onError reads what a failed backend leads to. It is never accept.
func onError(s string) (mfa.Outcome, error) {
	switch s {
	case "discard":
		return mfa.Discard, nil
	case "reject":
		return mfa.Reject, nil
	}
	return mfa.Reject, fmt.Errorf("must be discard or reject; got %q", s)
}
