package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/radmatch/radmatch/config"
	"github.com/radmatch/radmatch/mfa"
	"github.com/radmatch/radmatch/mfa/push"
	"github.com/radmatch/radmatch/mfa/store"
	"github.com/radmatch/radmatch/radius"
)

func (a *app) explainCommand() *cobra.Command {
	var client, from string
	c := &cobra.Command{
		Use:   "explain USER",
		Short: "Show which line of the plan applies to a user, and why",
		Long: `explain says what would happen to a login of USER after the right password: every
line of the plan that was tried, for each client and each way to send the password, and
what the Access-Accept would carry. It sends nothing and asks nobody. --from is the
address of the user as a signed request would bring it; without, it is not known.`,
		Example: "  radmatch explain alice\n  radmatch explain alice --client vpn --from 198.51.100.7",
		Args:    exactArgs(1, "radmatch explain USER"),
		RunE: func(c *cobra.Command, args []string) error {
			var address netip.Addr
			if from != "" {
				var err error
				if address, err = netip.ParseAddr(from); err != nil {
					return usageError("radmatch explain USER --from 198.51.100.7", "explain: --from %q is no address", from)
				}
			}
			return a.explain(c.Context(), args[0], client, address)
		},
	}
	c.Flags().StringVar(&client, "client", "", "only this client")
	c.Flags().StringVar(&from, "from", "", "the address that the user comes from")
	return c
}

func (a *app) explain(ctx context.Context, name, only string, from netip.Addr) error {
	cfg, st, err := a.openConfigured(ctx)
	if err != nil {
		return err
	}
	defer st.Close()
	x, err := newExplanation(ctx, cfg, st, name)
	if err != nil {
		return err
	}
	x.address = from
	defer x.primaries.Close()
	found := false
	for i := range cfg.Clients {
		if only == "" || cfg.Clients[i].Name == only {
			found = true
			if err := x.client(ctx, a.stdout, &cfg.Clients[i]); err != nil {
				return err
			}
		}
	}
	if !found {
		return usageError("radmatch clients", "no client %q in %s", only, a.configFile)
	}
	return nil
}

// explanation is what explain knows before it looks at a client.
type explanation struct {
	cfg        *config.Config
	name       string
	primaries  primaries
	pushers    map[string]mfa.Pusher
	directory  mfa.Directory
	dictionary *radius.Dictionary
	limits     mfa.Limits
	address    netip.Addr // of the user; the zero Addr: not known
	bypasses   []mfa.Bypass
}

func newExplanation(ctx context.Context, cfg *config.Config, st *store.Store, name string) (_ *explanation, err error) {
	x := &explanation{cfg: cfg, name: name, directory: st}
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
	stored, left, err := st.StoredBypasses(ctx)
	if err != nil {
		return nil, err
	}
	for i, b := range stored {
		if left[i] > 0 {
			x.bypasses = append(x.bypasses, b)
		}
	}
	return x, restoreLimits(ctx, st, cfg, &x.limits)
}

func (x *explanation) client(ctx context.Context, w io.Writer, cc *config.Client) error {
	rc, err := newClient(x.cfg, cc, x.dictionary, x.primaries, x.pushers)
	if err != nil {
		return err
	}
	c := rc.Policy
	fmt.Fprintf(w, "client %s (profile %s, primary %s)\n", c.Name, rc.Profile.Name, cc.Primary)
	identity, err := x.find(ctx, c)
	switch {
	case errors.Is(err, mfa.ErrRejected):
		reason := mfa.ReasonWrongPassword
		if c.NoPassword {
			reason = mfa.ReasonUnknownUser
		}
		fmt.Fprintf(w, "  the primary does not know %q: Access-Reject, reason %s\n", x.name, reason)
		return nil
	case err != nil:
		return err
	}
	user, err := x.directory.User(ctx, identity.Name)
	if err != nil {
		return err
	}
	x.describe(w, c, rc.Profile.Prompts, &identity, user)
	x.replies(w, c, &identity)
	return nil
}

// describe prints what the plan is decided from, and the plan of each credential.
func (x *explanation) describe(w io.Writer, c *mfa.Client, prompts bool, identity *mfa.Identity, user mfa.User) {
	now := time.Now()
	fmt.Fprintf(w, "  user %s, groups: %s\n", identity.Name, orNone(strings.Join(identity.Groups, ", ")))
	fmt.Fprintf(w, "  methods: %s\n", describeMethods(user))
	fmt.Fprintf(w, "  override_number_matching_with_otp: %t, from %s\n", c.Override, c.OverrideOrigin)
	for _, f := range []struct {
		name string
		mfa.Feature
	}{{"number_matching", c.NumberMatching}, {"show_application_name", c.ShowApplicationName}, {"show_location", c.ShowLocation}} {
		fmt.Fprintf(w, "  policy.%s: %s\n", f.name, featureText(f.Feature, identity.Groups))
	}
	fmt.Fprintf(w, "  address: %s\n", addressText(x.address))
	facts := mfa.Facts{
		Identity: identity, User: user, PushLimited: x.limits.PushLimited(user, now), RingLimited: x.limits.RingLimited(user, now, ringsRule(x.cfg)),
		Address: x.address, Bypasses: x.bypasses,
	}
	if why := mfa.Required(c, &facts); why != "" {
		fmt.Fprintf(w, "  a second factor is required: %s\n", why)
	}
	if x.limits.CodesLocked(user, now) {
		fmt.Fprintf(w, "  the codes of the user are locked: an answer gets Access-Reject, reason %s\n", mfa.ReasonCodesLocked)
	}
	facts.PAP, facts.CarriesCode = true, prompts
	explainPlan(w, "PAP", c, facts)
	if !facts.CarriesCode && c.AppendsCode() {
		facts.CarriesCode = true
		explainPlan(w, "PAP with a passcode", c, facts)
	}
	facts.PAP, facts.CarriesCode = false, false
	explainPlan(w, "MS-CHAPv2", c, facts)
	if c.NoPassword {
		explainPlan(w, "no password", c, facts)
	}
	if c.Remember > 0 {
		fmt.Fprintf(w, "  remember: what the running server remembers is not seen here (%s)\n", mfa.ReasonRemembered)
	}
}

// replies prints what an Access-Accept would carry.
func (x *explanation) replies(w io.Writer, c *mfa.Client, identity *mfa.Identity) {
	reply := c.Reply(identity)
	for _, a := range reply {
		name, value := x.dictionary.FormatAttribute(a)
		fmt.Fprintf(w, "  an Access-Accept carries %s = %s\n", name, value)
	}
	if len(reply) == 0 {
		fmt.Fprintln(w, "  an Access-Accept carries no attributes of the user or a group")
	}
}

// find looks the user up as the client's primary knows them.
func (x *explanation) find(ctx context.Context, c *mfa.Client) (mfa.Identity, error) {
	finder, ok := c.Primary.(mfa.IdentityFinder)
	if !ok {
		return mfa.Identity{}, fmt.Errorf("the primary of client %q cannot look a user up without a password", c.Name)
	}
	return finder.Find(ctx, x.name)
}

// featureText says whether a feature is on for a member of groups, and why.
func featureText(f mfa.Feature, groups []string) string {
	switch {
	case !f.Enabled:
		return "off, disabled"
	case mfa.MatchGroup(f.Exclude, groups) != "":
		return "off, excluded by " + mfa.MatchGroup(f.Exclude, groups)
	case !f.Applies(groups):
		return "off, in no group that is included"
	}
	return "on, included by " + mfa.MatchGroup(f.Include, groups)
}

func addressText(a netip.Addr) string {
	if !a.IsValid() {
		return "not known (--from gives one)"
	}
	return a.String()
}

// explainPlan prints the lines up to the one that decides.
func explainPlan(w io.Writer, credential string, c *mfa.Client, f mfa.Facts) {
	plan, reason, by := mfa.Decide(c, &f)
	fmt.Fprintf(w, "  %s: %s (%s)\n", credential, plan, reason)
	for _, l := range mfa.PlanTable() {
		_, why, fits := l.Try(c, &f)
		mark, matched := "  ", ""
		if fits {
			mark, matched = "->", matchText(c, &f, why)
		}
		fmt.Fprintf(w, "    %s %2d  %s%s\n", mark, l.N, l.If, matched)
		if fits && l.N == by.N {
			break
		}
	}
	if reason == mfa.ReasonOTPUnsupported {
		fmt.Fprintf(w, "        a passcode is due, and this login cannot carry one\n")
	}
}

// matchText is what of the configuration made a line fit.
func matchText(c *mfa.Client, f *mfa.Facts, why mfa.Reason) string {
	switch why {
	case mfa.ReasonNotAllowed:
		return ": " + strings.Join(c.AllowGroups, ", ")
	case mfa.ReasonExemptAddress:
		return ": " + mfa.MatchAddress(c.ExemptAddresses, f.Address).String()
	case mfa.ReasonExemptGroup:
		return ": " + mfa.MatchGroup(c.ExemptGroups, f.Identity.Groups)
	case mfa.ReasonBypass:
		return ": " + mfa.BypassFor(c, f).String()
	}
	return ""
}

func describeMethods(u mfa.User) string {
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
	return orNone(strings.Join(out, "; "))
}

func orNone(s string) string {
	if s == "" {
		return "none"
	}
	return s
}
