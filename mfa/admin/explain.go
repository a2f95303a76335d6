package admin

import (
	"context"
	"errors"
	"net/netip"
	"strings"
	"time"

	"github.com/radmatch/radmatch/mfa"
	"github.com/radmatch/radmatch/mfa/login"
)

// FactMaker gathers what a login is decided by. The login machine does; that of a
// command knows what a server knows that has just started.
type FactMaker interface {
	Facts(r *mfa.Request, first *login.FirstFactor) *mfa.Facts
}

// SignIn is whose login is to be explained, and where.
type SignIn struct {
	Client  *mfa.Client
	Typed   mfa.Name   // what the user types
	Address netip.Addr // where the user comes from; the zero Addr: not known
}

// Explanation is what would happen to the logins of a user at one client after the
// right password.
type Explanation struct {
	// Refused is the reason for which the first factor ends the login: then nothing
	// more is known.
	Refused     mfa.Reason
	Identity    mfa.Identity
	User        mfa.User
	Required    string // what demands a second factor; empty: nothing
	CodesLocked bool
	Logins      []ExplainedLogin
}

// ExplainedLogin is the plan of one way to send the password.
type ExplainedLogin struct {
	Credential string
	Plan       mfa.Plan
	Reason     mfa.Reason
	Row        int    // of mfa.PlanTable, which decides; no row before it holds
	Because    string // what of the configuration made it hold; may be empty
}

// ErrNoLookup means that nothing can be explained of a client.
var ErrNoLookup = errors.New("its primary cannot look a user up without a password")

// Explain tells which line of the plan decides the logins of a user at a client. It
// asks the primary who that is, and asks for no password or a second factor.
// ErrNoLookup where the primary cannot tell.
func (a *Admin) Explain(ctx context.Context, s SignIn, facts FactMaker, limits Limits) (*Explanation, error) {
	if s.Client.Finder == nil {
		return nil, ErrNoLookup
	}
	identity, err := s.Client.Finder.Find(ctx, s.Typed)
	switch {
	case errors.Is(err, mfa.ErrRejected) && s.Client.NoPassword:
		return &Explanation{Refused: mfa.ReasonUnknownUser}, nil
	case errors.Is(err, mfa.ErrRejected):
		return &Explanation{Refused: mfa.ReasonWrongPassword}, nil
	case err != nil:
		return nil, err
	}
	user, err := a.Store.User(ctx, identity.Name)
	if err != nil {
		return nil, err
	}
	e, now := &Explanation{Identity: identity, User: user}, time.Now()
	for _, w := range ways(s.Client, user) {
		r := &mfa.Request{Client: s.Client, Cred: w.cred, Dialog: s.Client.Dialog(mfa.ProtocolOf(w.cred)), Address: s.Address}
		f := facts.Facts(r, &login.FirstFactor{Identity: &e.Identity, User: user, At: now, Appended: w.appended, OwnCode: w.ownCode})
		e.Required = mfa.Required(s.Client, f)
		e.Logins = append(e.Logins, decide(s.Client, w.credential, f))
	}
	_, e.CodesLocked = limits.CodesLocked(user, now)
	return e, nil
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
func decide(c *mfa.Client, credential string, f *mfa.Facts) ExplainedLogin {
	plan, reason, _ := mfa.Decide(c, f)
	l := ExplainedLogin{Credential: credential, Plan: plan, Reason: reason}
	for i, line := range mfa.PlanTable() {
		if _, why, fits := line.Try(c, f); fits {
			l.Row, l.Because = i, matched(c, f, why)
			break
		}
	}
	return l
}

// matched is what of the configuration made a line fit.
func matched(c *mfa.Client, f *mfa.Facts, why mfa.Reason) string {
	switch why {
	case mfa.ReasonNotAllowed:
		return JoinGroups(c.AllowGroups)
	case mfa.ReasonExemptAddress:
		return mfa.MatchAddress(c.ExemptAddresses, f.Address).String()
	case mfa.ReasonExemptGroup:
		return mfa.MatchGroup(c.ExemptGroups, f.Identity.Groups).String()
	case mfa.ReasonBypass:
		return mfa.BypassFor(c, f).String()
	}
	return ""
}

// JoinGroups writes groups in one line.
func JoinGroups(groups []mfa.Group) string {
	names := make([]string, len(groups))
	for i, g := range groups {
		names[i] = g.String()
	}
	return strings.Join(names, ", ")
}
