package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"

	"github.com/spf13/cobra"

	"github.com/radmatch/radmatch/config"
	"github.com/radmatch/radmatch/mfa"
	"github.com/radmatch/radmatch/mfa/admin"
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
	admin      *admin.Admin
	address    netip.Addr // of the user; the zero Addr: not known
}

func newExplanation(ctx context.Context, cfg *config.Config, st *store.Store, name string) (_ *explanation, err error) {
	x := &explanation{cfg: cfg, name: name, admin: operations(st)}
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
	found, err := x.admin.Explain(ctx, admin.SignIn{Client: c, Typed: mfa.NameOf(x.name), Address: x.address}, x.engine, x.engine.Limits)
	switch {
	case errors.Is(err, admin.ErrNoLookup):
		e.Note = err.Error()
		return e, nil
	case err != nil:
		return nil, err
	case found.Refused != "":
		e.Refused = found.Refused
		return e, nil
	}
	x.describe(e, found)
	reply := c.Reply(&found.Identity)
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
func (x *explanation) describe(e *explained, found *admin.Explanation) {
	e.User, e.Groups, e.Methods = found.Identity.Name.String(), found.Identity.Groups, describeMethods(found.User)
	e.settings(&x.engine.Policy, found.Identity.Groups)
	if x.address.IsValid() {
		e.Address = x.address.String()
	}
	e.Required = found.Required
	for _, l := range found.Logins {
		line := mfa.PlanTable()[l.Row]
		e.Logins = append(e.Logins, explainedLogin{
			Credential: l.Credential, Plan: l.Plan, Reason: l.Reason, Line: line.N, Condition: line.If, Because: l.Because, row: l.Row,
		})
	}
	if found.CodesLocked {
		e.Locked = mfa.ReasonCodesLocked
	}
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
