package explain

import (
	"cmp"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/radmatch/radmatch/mfa"
	"github.com/radmatch/radmatch/mfa/admin"
	"github.com/radmatch/radmatch/mfa/text"
)

// Report is what explain says of one client.
type Report struct {
	Client  string `json:"client"`
	Behind  string `json:"behind,omitempty"` // the client that is its proxy
	NAS     string `json:"nas,omitempty"`    // how it is told there
	Profile string `json:"profile"`
	Primary string `json:"primary"`
	Typed   string `json:"typed"`          // USER of the command line
	Note    string `json:"note,omitempty"` // why nothing more is known
	// Refused is the reason for which the first factor ends the login.
	Refused  mfa.Reason  `json:"refused,omitempty"`
	User     string      `json:"user,omitempty"` // as the primary names them
	Groups   []mfa.Group `json:"groups,omitempty"`
	Methods  []string    `json:"methods,omitempty"`
	Settings []setting   `json:"settings,omitempty"`
	Address  string      `json:"address,omitempty"`
	Required string      `json:"required,omitempty"` // what demands a second factor
	Locked   mfa.Reason  `json:"locked,omitempty"`   // codes_locked
	Logins   []Login     `json:"logins,omitempty"`
	Reply    []string    `json:"reply_attributes,omitempty"`
	TooLong  string      `json:"reply_too_long,omitempty"` // why they cannot be sent to this client

	policy *mfa.Client
}

// setting is one key that the plan depends on, and where its value comes from.
type setting struct {
	Key   string `json:"key"`
	Value string `json:"value"`
}

// Login is the plan of one way to sign in.
type Login struct {
	Credential string     `json:"credential"`
	Plan       mfa.Plan   `json:"plan"`
	Reason     mfa.Reason `json:"reason"`
	Line       int        `json:"line"`
	Condition  string     `json:"condition"`
	Because    string     `json:"because,omitempty"` // what of the configuration made the line fit

	row int // of the plan table
}

func (e *Report) settings(p *mfa.Policy, groups []mfa.Group) {
	c := e.policy
	e.Settings = []setting{
		{"override_number_matching_with_otp", fmt.Sprintf("%t, from %s", c.Override, c.OverrideOrigin)},
		{"number_in_prompt", fmt.Sprint(c.NumberInPrompt)},
		{"number_from_device", fmt.Sprint(c.NumberFromDevice)},
		{"credentials", credentialText(c)},
		{"require_number_matching", fmt.Sprint(c.RequireMatching)},
		{"policy.number_matching", featureText(p.NumberMatching, groups)},
		{"policy.show_application_name", featureText(p.ShowApplicationName, groups)},
		{"policy.show_location", featureText(p.ShowLocation, groups)},
	}
}

// credentialText lists the protocols that a client may take a password by.
func credentialText(c *mfa.Client) string {
	var list []string
	if !c.NoPAP {
		list = append(list, "pap")
	}
	if !c.NoMSCHAP {
		list = append(list, "mschapv2")
	}
	return strings.Join(list, ", ")
}

// featureText says whether a feature is on for a member of groups, and why.
func featureText(f mfa.Feature, groups []mfa.Group) string {
	switch {
	case !f.Enabled:
		return "off, disabled"
	case !mfa.MatchGroup(f.Exclude, groups).IsZero():
		return "off, excluded by " + mfa.MatchGroup(f.Exclude, groups).String()
	case !f.Applies(groups):
		return "off, in no group that is included"
	}
	return "on, included by " + mfa.MatchGroup(f.Include, groups).String()
}

// Print prints the report for readers.
func (e *Report) Print(w io.Writer) error {
	fmt.Fprintf(w, "client %s (profile %s, primary %s)\n", e.Client, e.Profile, e.Primary)
	if e.Behind != "" {
		fmt.Fprintf(w, "  behind client %s: signed requests of NAS %s\n", e.Behind, text.Printable(e.NAS, 300))
	}
	switch {
	case e.Note != "":
		fmt.Fprintf(w, "  %s\n", e.Note)
		return nil
	case e.Refused != "":
		fmt.Fprintf(w, "  the primary does not know %q: Access-Reject, reason %s\n", e.Typed, e.Refused)
		return nil
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	row := func(key, value string) { fmt.Fprintf(t, "  %s:\t%s\n", key, text.Printable(value, 300)) }
	row("user", e.User)
	row("groups", cmp.Or(admin.JoinGroups(e.Groups), "none"))
	row("methods", cmp.Or(strings.Join(e.Methods, "; "), "none"))
	for _, s := range e.Settings {
		row(s.Key, s.Value)
	}
	row("address", cmp.Or(e.Address, "not known (--from gives one)"))
	if e.Required != "" {
		row("a second factor is required", e.Required)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	e.printDecisions(w)
	if err := e.printTable(w); err != nil {
		return err
	}
	e.printReply(w)
	return nil
}

// printDecisions prints what happens to each way to sign in.
func (e *Report) printDecisions(w io.Writer) {
	fmt.Fprintln(w, "\n  after the right password:")
	for _, l := range e.Logins {
		because := ""
		if l.Because != "" {
			because = ": " + text.Printable(l.Because, 300)
		}
		fmt.Fprintf(w, "  %s: %s (%s), by line %d%s\n", l.Credential, l.Plan, l.Reason, l.Line, because)
		if l.Reason == mfa.ReasonOTPUnsupported {
			fmt.Fprintln(w, "    a passcode is due, and this login cannot carry one")
		}
		if l.Plan == mfa.PlanOTP && e.Locked != "" {
			fmt.Fprintf(w, "    the codes of the user are locked: an answer gets Access-Reject, reason %s\n", e.Locked)
		}
	}
	if e.policy.Remember > 0 {
		fmt.Fprintf(w, "  remember: what the running server remembers is not seen here (%s)\n", mfa.ReasonRemembered)
	}
}

// printTable prints the lines of the plan with what each says to each way to
// sign in, up to the last one that decides.
func (e *Report) printTable(w io.Writer) error {
	last := 0
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprint(t, "\n  line\t")
	for _, l := range e.Logins {
		last = max(last, l.row)
		fmt.Fprintf(t, "%s\t", l.Credential)
	}
	fmt.Fprintln(t, "holds if")
	for i, line := range mfa.PlanTable()[:last+1] {
		fmt.Fprintf(t, "  %d\t", line.N)
		for _, l := range e.Logins {
			fmt.Fprintf(t, "%s\t", [...]string{"-", "YES", "no"}[1+cmp.Compare(l.row, i)])
		}
		fmt.Fprintln(t, line.If)
	}
	return t.Flush()
}

// printReply prints what an Access-Accept would carry.
func (e *Report) printReply(w io.Writer) {
	fmt.Fprintln(w)
	for _, a := range e.Reply {
		fmt.Fprintf(w, "  an Access-Accept carries %s\n", a)
	}
	if len(e.Reply) == 0 {
		fmt.Fprintln(w, "  an Access-Accept carries no attributes of the user or a group")
	}
	if e.TooLong != "" {
		fmt.Fprintf(w, "  these attributes cannot be sent, every login is rejected (%s): %s\n", mfa.ReasonReplyTooLong, e.TooLong)
	}
	fmt.Fprintln(w)
}
