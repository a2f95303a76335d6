package main

import (
	"context"
	"fmt"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/radmatch/radmatch/mfa"
	"github.com/radmatch/radmatch/mfa/admin"
	"github.com/radmatch/radmatch/mfa/device"
	"github.com/radmatch/radmatch/mfa/login"
	"github.com/radmatch/radmatch/mfa/store"
	"github.com/radmatch/radmatch/mfa/text"
	"github.com/radmatch/radmatch/otp"
)

// deviceReport is a device for machines.
type deviceReport struct {
	User     string     `json:"user"`
	ID       string     `json:"id"`
	Name     string     `json:"name"`
	Added    time.Time  `json:"added"`
	Seen     *time.Time `json:"last_seen,omitempty"` // of our own devices
	Passkey  bool       `json:"passkey"`
	Provider string     `json:"provider,omitempty"` // empty: one of ours
}

func newDeviceReport(d *device.Device) deviceReport {
	r := deviceReport{User: d.User.String(), ID: d.ID, Name: d.Name, Added: d.Added, Passkey: d.Passkey != nil, Provider: d.Provider}
	if d.Provider == "" {
		r.Seen = &d.Seen
	}
	return r
}

// tokenReport is a token for machines.
type tokenReport struct {
	User   string    `json:"user"`
	ID     string    `json:"id"`
	Serial string    `json:"serial,omitempty"`
	Kind   string    `json:"kind"`
	Digits int       `json:"digits"`
	Label  string    `json:"label,omitempty"`
	Added  time.Time `json:"added"`
	Drift  int       `json:"drift_steps"`
	Next   int64     `json:"next_counter,omitempty"` // hotp
}

func newTokenReport(t *otp.Token) tokenReport {
	r := tokenReport{User: t.User.String(), ID: t.ID, Serial: t.Serial, Kind: string(t.Kind), Digits: t.Digits, Label: t.Label, Added: t.Created, Drift: t.Drift}
	if t.Kind == otp.HOTP {
		r.Next = t.Next
	}
	return r
}

// passReport is a Temporary Access Pass for machines.
type passReport struct {
	User    string    `json:"user"`
	ID      string    `json:"id"`
	From    time.Time `json:"from"`
	Expires time.Time `json:"expires"`
	Once    bool      `json:"once"`
	Valid   bool      `json:"valid"` // now
}

func newPassReport(t *otp.Token, now time.Time) passReport {
	return passReport{User: t.User.String(), ID: t.ID, From: t.NotBefore, Expires: t.Expires, Once: t.Once,
		Valid: now.Before(t.Expires) && !now.Before(t.NotBefore) && !(t.Once && t.Next > 0)}
}

// loginReport is what the trail says of one login.
type loginReport struct {
	Time    time.Time  `json:"time"`
	Client  string     `json:"client"`
	EndUser string     `json:"end_user,omitempty"`
	Outcome string     `json:"outcome"`
	Reason  mfa.Reason `json:"reason"`
	Method  string     `json:"method,omitempty"`
}

func newLoginReport(ev *mfa.Event) *loginReport {
	if ev == nil {
		return nil
	}
	return &loginReport{ev.Time, ev.Client, ev.EndUser, ev.Outcome.String(), ev.Reason, ev.Method}
}

// userReport is an admin.UserReport for machines.
type userReport struct {
	User         string         `json:"user"`
	Blocked      bool           `json:"blocked"`
	BlockedSince *time.Time     `json:"blocked_since,omitempty"`
	BlockedBy    string         `json:"blocked_by,omitempty"`
	BlockedWhy   string         `json:"blocked_reason,omitempty"`
	Default      string         `json:"default"`
	Devices      []deviceReport `json:"devices"`
	Tokens       []tokenReport  `json:"tokens"`
	Pass         *passReport    `json:"pass,omitempty"`
	NoPushAt     []string       `json:"no_push_at,omitempty"` // "this was not me" stands there
	// CodesLocked and PushLimited hold now, as far as the trail tells.
	CodesLocked bool         `json:"codes_locked"`
	LockedUntil *time.Time   `json:"codes_locked_until,omitempty"` // missing: until user unblock
	PushLimited bool         `json:"push_limited"`
	LastLogin   *loginReport `json:"last_login,omitempty"`
	LastRefusal *loginReport `json:"last_refusal,omitempty"`

	tokens []otp.Token
	pass   *otp.Token
}

func newUserReport(u *admin.UserReport) *userReport {
	r := &userReport{User: u.Name.String(), Blocked: u.Blocked, Default: defaultText(&u.User), NoPushAt: u.PushBlocked,
		Devices: []deviceReport{}, Tokens: []tokenReport{}, CodesLocked: u.CodesLocked, PushLimited: u.PushLimited,
		LastLogin: newLoginReport(u.LastLogin), LastRefusal: newLoginReport(u.LastRefusal), tokens: u.Tokens, pass: u.Pass}
	for i := range u.Devices {
		r.Devices = append(r.Devices, newDeviceReport(&u.Devices[i]))
	}
	for i := range u.Tokens {
		r.Tokens = append(r.Tokens, newTokenReport(&u.Tokens[i]))
	}
	if u.Pass != nil {
		p := newPassReport(u.Pass, time.Now())
		r.Pass = &p
	}
	if u.Block != nil {
		r.BlockedSince, r.BlockedBy, r.BlockedWhy = &u.Block.Since, u.Block.By, u.Block.Reason
	}
	if !u.LockedUntil.IsZero() {
		r.LockedUntil = &u.LockedUntil
	}
	return r
}

func (a *app) showUser(ctx context.Context, st *store.Store, name mfa.Name) (*userReport, error) {
	limits, err := a.limits(ctx, st)
	if err != nil {
		return nil, err
	}
	r, err := operations(st).Show(ctx, name, limits)
	if err != nil {
		return nil, err
	}
	return newUserReport(r), nil
}

// limits are those of a server that starts now. Without a configuration that can be
// read nothing is known of them, and they are nil.
func (a *app) limits(ctx context.Context, st *store.Store) (admin.Limits, error) {
	cfg, err := a.loadForCommand()
	if err != nil {
		fmt.Fprintln(a.stderr, "radmatch: note: whether codes are locked is not known: the configuration cannot be read (radmatch check)")
		return nil, nil
	}
	limits := &login.Limits{}
	return limits, restoreLimits(ctx, st, cfg, limits)
}

func (r *userReport) print(t *tabwriter.Writer) {
	row := func(key, format string, args ...any) { fmt.Fprintf(t, "%s\t%s\n", key, fmt.Sprintf(format, args...)) }
	row("user", "%s", text.Printable(r.User, 128))
	row("blocked", "%s", r.blockText())
	row("default", "%s", r.Default)
	for _, d := range r.Devices {
		if d.Provider != "" {
			row("device", "%s %s, at %s", d.ID, text.Printable(d.Name, 64), d.Provider)
			continue
		}
		row("device", "%s %s, last seen %s", d.ID, text.Printable(d.Name, 64), d.Seen.Local().Format(time.DateTime))
	}
	for i := range r.tokens {
		row("token", "%s %s", r.tokens[i].ID, describeToken(&r.tokens[i]))
	}
	if r.pass != nil {
		row("pass", "%s %s", r.pass.ID, describePass(r.pass, time.Now()))
	}
	for _, group := range r.NoPushAt {
		row("no push at", "%s: the user has reported a login there", text.Printable(group, 64))
	}
	if len(r.Devices)+len(r.tokens) == 0 && r.pass == nil {
		row("methods", "none")
	}
	switch {
	case r.LockedUntil != nil:
		row("codes", "locked until %s: too many wrong ones (radmatch user unblock)", r.LockedUntil.Local().Format(time.DateTime))
	case r.CodesLocked:
		row("codes", "locked until radmatch user unblock: too many wrong ones")
	}
	if r.PushLimited {
		row("push", "limited: too many prompts that were not approved (radmatch user unblock)")
	}
	row("last login", "%s", r.LastLogin)
	row("last refusal", "%s", r.LastRefusal)
}

func (r *userReport) blockText() string {
	switch {
	case !r.Blocked:
		return "no"
	case r.BlockedSince == nil:
		return "yes, before the events that are kept"
	}
	told := fmt.Sprintf("yes, %s by %s", r.BlockedSince.Local().Format(time.DateTime), text.Printable(r.BlockedBy, 64))
	if r.BlockedWhy != "" {
		told += ": " + text.Printable(r.BlockedWhy, admin.MaxReason)
	}
	return told
}

// String is one login on a line.
func (l *loginReport) String() string {
	if l == nil {
		return "none in the events that are kept"
	}
	line := fmt.Sprintf("%s at %s", l.Time.Local().Format(time.DateTime), text.Printable(l.Client, 64))
	if l.EndUser != "" {
		line += " from " + text.Printable(l.EndUser, 64)
	}
	line += ": " + text.Printable(string(l.Reason), 32)
	if l.Method != "" {
		line += " (" + text.Printable(l.Method, 32) + ")"
	}
	return line
}

func (a *app) userListCommand() *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:     "list",
		Short:   "List the users with a method or a block",
		Example: "  radmatch user list\n  radmatch user list --json",
		Args:    exactArgs(0, "radmatch user list"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.withStore(cmd.Context(), func(st *store.Store) error { return a.listUsers(cmd.Context(), st, asJSON) })
		},
	}
	jsonFlag(c, &asJSON)
	return c
}

// listedUser is a line of `user list`.
type listedUser struct {
	User     string   `json:"user"`
	Blocked  bool     `json:"blocked"`
	Default  string   `json:"default"`
	Devices  int      `json:"devices"`
	Tokens   int      `json:"tokens"`
	Pass     bool     `json:"pass"` // valid now
	NoPushAt []string `json:"no_push_at,omitempty"`
}

func (a *app) listUsers(ctx context.Context, st *store.Store, asJSON bool) error {
	names, err := st.Users(ctx)
	if err != nil {
		return err
	}
	t := tabwriter.NewWriter(a.stdout, 0, 0, 2, ' ', 0)
	if !asJSON {
		fmt.Fprintln(t, "USER\tBLOCKED\tDEFAULT\tDEVICES\tTOKENS\tPASS\tNO PUSH AT")
	}
	for _, name := range names {
		u, err := st.User(ctx, name)
		if err != nil {
			return err
		}
		l := listedUser{u.Name.String(), u.Blocked, defaultText(&u), u.Devices, u.Codes, u.Pass, u.PushBlocked}
		if asJSON {
			if err := a.printJSON(l); err != nil {
				return err
			}
			continue
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%d\t%d\t%s\t%s\n", text.Printable(l.User, 128), yesNo(l.Blocked), l.Default, l.Devices, l.Tokens,
			yesNo(l.Pass), orDash(strings.Join(l.NoPushAt, ","), 64))
	}
	return t.Flush()
}
