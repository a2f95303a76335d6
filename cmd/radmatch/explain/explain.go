package explain

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"

	"github.com/radmatch/radmatch/cmd/radmatch/serve"
	"github.com/radmatch/radmatch/config"
	"github.com/radmatch/radmatch/mfa"
	"github.com/radmatch/radmatch/mfa/admin"
	"github.com/radmatch/radmatch/mfa/store"
)

// Explanation is what explain knows before it looks at a client.
type Explanation struct {
	*serve.Inspection
	name    string
	admin   *admin.Admin
	Address netip.Addr // of the user; the zero Addr: not known
}

// New opens what the configuration names. name is the user as they sign in. The caller
// closes it.
func New(ctx context.Context, cfg *config.Config, st *store.Store, name string) (_ *Explanation, err error) {
	x := &Explanation{name: name, admin: &admin.Admin{Store: st}}
	x.Inspection, err = serve.Inspect(ctx, cfg, st)
	return x, err
}

// Client explains the logins of the user at one client.
func (x *Explanation) Client(ctx context.Context, cc *config.Client) (*Report, error) {
	rc, err := x.Inspection.Client(cc)
	if err != nil {
		return nil, err
	}
	c := rc.Policy
	e := &Report{Client: c.Name, Profile: rc.Profile.Name, Primary: cc.Primary, policy: c, Typed: x.name, Behind: cc.Behind, NAS: strings.Join(cc.NAS, ", ")}
	found, err := x.admin.Explain(ctx, admin.SignIn{Client: c, Typed: mfa.NameOf(x.name), Address: x.Address}, x.Engine, x.Engine.Limits)
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
		name, value := x.Dictionary.FormatAttribute(a)
		e.Reply = append(e.Reply, name+" = "+value)
	}
	return e, nil
}

// describe fills in what the plan is decided from, and the plan of each way to sign in.
func (x *Explanation) describe(e *Report, found *admin.Explanation) {
	e.User, e.Groups, e.Methods = found.Identity.Name.String(), found.Identity.Groups, describeMethods(found.User)
	e.settings(&x.Engine.Policy, found.Identity.Groups)
	if x.Address.IsValid() {
		e.Address = x.Address.String()
	}
	e.Required = found.Required
	for _, l := range found.Logins {
		line := mfa.PlanTable()[l.Row]
		e.Logins = append(e.Logins, Login{
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
