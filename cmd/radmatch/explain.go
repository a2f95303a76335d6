package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/radmatch/radmatch/config"
	"github.com/radmatch/radmatch/mfa"
	"github.com/radmatch/radmatch/mfa/login"
	"github.com/radmatch/radmatch/mfa/push"
	"github.com/radmatch/radmatch/mfa/store"
	"github.com/radmatch/radmatch/otp"
	"github.com/radmatch/radmatch/radius/wire"
)

func (a *app) explainCommand() *cobra.Command {
	var f explainFlags
	c := &cobra.Command{
		Use:   "explain USER",
		Short: "Show which line of the plan applies to a user, and why",
		Long: `explain says what would happen to a login of USER after the right password: for each
client and each way to send the password, which line of the plan decides and which lines
before it do not hold, and what the Access-Accept would carry. It sends nothing and asks
nobody. --from is the address of the user as a signed request would bring it; without, it
is not known.`,
		Example: "  radmatch explain alice\n  radmatch explain alice --client vpn --from 198.51.100.7",
		Args:    exactArgs(1, "radmatch explain USER"),
		RunE: func(c *cobra.Command, args []string) error {
			if f.from != "" {
				var err error
				if f.address, err = netip.ParseAddr(f.from); err != nil {
					return usageError("radmatch explain USER --from 198.51.100.7", "explain: --from %q is no address", f.from)
				}
			}
			return a.explain(c.Context(), args[0], f)
		},
	}
	c.Flags().StringVar(&f.client, "client", "", "only this client")
	c.Flags().StringVar(&f.from, "from", "", "the address that the user comes from")
	jsonFlag(c, &f.json)
	return c
}

// explainFlags are the flags of the command.
type explainFlags struct {
	client, from string
	address      netip.Addr
	json         bool
}

func (a *app) explain(ctx context.Context, name string, f explainFlags) error {
	cfg, st, err := a.openConfigured(ctx)
	if err != nil {
		return err
	}
	defer st.Close()
	x, err := newExplanation(ctx, cfg, st, name)
	if err != nil {
		return err
	}
	x.address = f.address
	defer x.primaries.Close()
	found := false
	for i := range cfg.Clients {
		if f.client != "" && cfg.Clients[i].Name != f.client {
			continue
		}
		found = true
		e, err := x.client(ctx, &cfg.Clients[i])
		if err != nil {
			return err
		}
		if f.json {
			err = a.printJSON(e)
		} else {
			err = e.print(a.stdout)
		}
		if err != nil {
			return err
		}
	}
	if !found {
		return usageError("radmatch clients", "no client %q in %s", f.client, a.configFile)
	}
	return nil
}

// explanation is what explain knows before it looks at a client.
type explanation struct {
	cfg        *config.Config
	name       string
	primaries  primaries
	pushers    map[string]mfa.Pusher
	dictionary *wire.Dictionary
	engine     *login.Engine // that of a server which has just started
	address    netip.Addr    // of the user; the zero Addr: not known
}

func newExplanation(ctx context.Context, cfg *config.Config, st *store.Store, name string) (_ *explanation, err error) {
	x := &explanation{cfg: cfg, name: name}
	p, err := commandParts(cfg)
	if err != nil {
		return nil, &exitError{code: exitConfig, err: err, hint: "radmatch check"}
	}
	p.approver, x.dictionary = &push.Approver{Store: st}, p.dictionary
	if x.primaries, err = openPrimaries(cfg, p); err != nil {
		return nil, &exitError{code: exitConfig, err: err, hint: "radmatch check --connect"}
	}
	if x.pushers, err = openPushers(cfg, p); err != nil {
		return nil, &exitError{code: exitConfig, err: err, hint: "radmatch check --connect"}
	}
	l := &lasting{parts: p, pending: &login.Pending{}, limits: &login.Limits{}, directory: st, codes: &otp.Verifier{Store: st}}
	if l.bypasses, err = bypassesInForce(ctx, st); err != nil {
		return nil, err
	}
	x.engine = newEngine(cfg, l)
	return x, restoreLimits(ctx, st, cfg, l.limits)
}

// fixedBypasses are those that were in force when a command began.
type fixedBypasses []mfa.Bypass

func (list fixedBypasses) Bypasses() []mfa.Bypass { return list }

func bypassesInForce(ctx context.Context, st *store.Store) (list fixedBypasses, err error) {
	stored, left, err := st.StoredBypasses(ctx)
	for i, b := range stored {
		if left[i] > 0 {
			list = append(list, b)
		}
	}
	return list, err
}

// client explains the logins of the user at one client.
func (x *explanation) client(ctx context.Context, cc *config.Client) (*explained, error) {
	rc, err := newClient(x.cfg, cc, x.dictionary, x.primaries, x.pushers)
	if err != nil {
		return nil, err
	}
	c := rc.Policy
	e := &explained{Client: c.Name, Profile: rc.Profile.Name, Primary: cc.Primary, policy: c, Typed: x.name, Behind: cc.Behind, NAS: strings.Join(cc.NAS, ", ")}
	finder, ok := c.Primary.(mfa.IdentityFinder)
	if !ok {
		e.Note = "its primary cannot look a user up without a password"
		return e, nil
	}
	identity, err := finder.Find(ctx, mfa.NameOf(x.name))
	switch {
	case errors.Is(err, mfa.ErrRejected):
		e.Refused = mfa.ReasonWrongPassword
		if c.NoPassword {
			e.Refused = mfa.ReasonUnknownUser
		}
		return e, nil
	case err != nil:
		return nil, err
	}
	user, err := x.engine.Directory.User(ctx, identity.Name)
	if err != nil {
		return nil, err
	}
	x.describe(e, &identity, user)
	reply := c.Reply(&identity)
	if err := rc.Profile.Fits(reply); err != nil {
		e.TooLong = err.Error()
	}
	for _, a := range reply {
		name, value := x.dictionary.FormatAttribute(a)
		e.Reply = append(e.Reply, name+" = "+value)
	}
	return e, nil
}

// describe fills in what the plan is decided from, and the plan of each way to sign in.
func (x *explanation) describe(e *explained, identity *mfa.Identity, user mfa.User) {
	now := time.Now()
	e.User, e.Groups, e.Methods = identity.Name.String(), identity.Groups, describeMethods(user)
	e.settings(identity.Groups)
	if x.address.IsValid() {
		e.Address = x.address.String()
	}
	for _, w := range ways(e.policy, user) {
		r := &mfa.Request{Client: e.policy, Cred: w.cred, Dialog: e.policy.Dialog(mfa.ProtocolOf(w.cred)), Address: x.address}
		f := x.engine.Facts(r, &login.FirstFactor{Identity: identity, User: user, At: now, Appended: w.appended, OwnCode: w.ownCode})
		e.Required = mfa.Required(e.policy, f)
		e.Logins = append(e.Logins, decide(e.policy, w.credential, f))
	}
	if _, locked := x.engine.Limits.CodesLocked(user, now); locked {
		e.Locked = mfa.ReasonCodesLocked
	}
}

// way is one way in which a client may bring the first factor.
type way struct {
	credential string
	cred       mfa.Credential // of that kind
	appended   bool           // with a passcode
	ownCode    bool           // that has the form of one of the user's codes
}

// ways lists those of a client. Without a code of their own users append none that
// counts; OpenVPN's static challenge brings what they typed all the same.
func ways(c *mfa.Client, user mfa.User) []way {
	own := user.Codes > 0 || user.HasPass
	plain := func(cred mfa.Credential) way { return way{credential: string(mfa.ProtocolOf(cred)), cred: cred} }
	list := []way{plain(mfa.Password(""))}
	if c.StaticChallenge || c.AppendsCode() && own {
		list = append(list, way{"PAP with a passcode", mfa.Password(""), true, own})
	}
	list = append(list, plain(mfa.MSCHAPv2{}))
	if c.NoPassword {
		list = append(list, plain(mfa.NoCredential{}))
	}
	return list
}

// decide tries the lines of the plan, up to the one that decides.
func decide(c *mfa.Client, credential string, f *mfa.Facts) explainedLogin {
	plan, reason, by := mfa.Decide(c, f)
	l := explainedLogin{Credential: credential, Plan: plan, Reason: reason, Line: by.N, Condition: by.If}
	for i, line := range mfa.PlanTable() {
		if _, why, fits := line.Try(c, f); fits {
			l.row, l.Because = i, matchText(c, f, why)
			break
		}
	}
	return l
}

// matchText is what of the configuration made a line fit.
func matchText(c *mfa.Client, f *mfa.Facts, why mfa.Reason) string {
	switch why {
	case mfa.ReasonNotAllowed:
		return joinGroups(c.AllowGroups)
	case mfa.ReasonExemptAddress:
		return mfa.MatchAddress(c.ExemptAddresses, f.Address).String()
	case mfa.ReasonExemptGroup:
		return mfa.MatchGroup(c.ExemptGroups, f.Identity.Groups).String()
	case mfa.ReasonBypass:
		return mfa.BypassFor(c, f).String()
	}
	return ""
}

func describeMethods(u mfa.User) []string {
	var out []string
	add := func(s string, yes bool) {
		if yes {
			out = append(out, s)
		}
	}
	add(fmt.Sprintf("%d push devices", u.Devices), u.Devices > 0 && len(u.Elsewhere) == 0)
	add(fmt.Sprintf("%d push devices, of them at other providers: %s", u.Devices, strings.Join(u.Elsewhere, ", ")), len(u.Elsewhere) > 0)
	add(fmt.Sprintf("%d passcode tokens", u.Codes), u.Codes > 0)
	add("a valid Temporary Access Pass", u.Pass)
	add("a Temporary Access Pass that is not valid now", u.HasPass && !u.Pass)
	add("default "+string(u.DefaultMethod()), u.DefaultMethod() != "")
	add("BLOCKED by an administrator", u.Blocked)
	add(`push blocked by "this was not me" for `+strings.Join(u.PushBlocked, ", "), len(u.PushBlocked) > 0)
	return out
}
