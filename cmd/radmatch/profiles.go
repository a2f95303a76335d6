package main

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/radmatch/radmatch/config"
	"github.com/radmatch/radmatch/mfa/text"
	"github.com/radmatch/radmatch/radius/profile"
)

func (a *app) profilesCommand() *cobra.Command {
	var markdown, asJSON bool
	c := &cobra.Command{
		Use:   "profiles",
		Short: "Print what radmatch knows of each make of VPN concentrator",
		Long: `Print what radmatch knows of each make of VPN concentrator, gateway or host: the values of
profile. The budget is how long a device waits on
which nothing was set; radmatch answers before it ends. Each value can be
overridden in the client: prompts, shows_reply_message, end_user, address_attribute,
budget and the keys of mfa:.`,
		Example: "  radmatch config profiles",
		Args:    exactArgs(0, "radmatch config profiles"),
		RunE: func(*cobra.Command, []string) error {
			switch {
			case markdown:
				return profilesMarkdown(a.stdout)
			case asJSON:
				return printEach(a, profile.All(), newProfileReport)
			}
			return profilesText(a.stdout)
		},
	}
	c.Flags().BoolVar(&markdown, "markdown", false, "print the table of docs/clients.md")
	jsonFlag(c, &asJSON)
	c.MarkFlagsMutuallyExclusive("markdown", "json")
	return c
}

// profileReport is a profile for machines.
type profileReport struct {
	Name      string   `json:"profile"`
	Device    string   `json:"device"`
	Prompts   bool     `json:"prompts"`
	Reply     bool     `json:"shows_reply_message"`
	EndUser   []string `json:"end_user"`
	Address   []string `json:"address_attribute"`
	Budget    float64  `json:"budget_s,omitempty"` // missing: not known
	Waits     string   `json:"waits"`
	Raise     string   `json:"set"`
	Append    string   `json:"append,omitempty"`
	Challenge bool     `json:"static_challenge"`
	Quirks    []string `json:"quirks,omitempty"`
}

func newProfileReport(at **profile.Profile) profileReport {
	p := *at
	r := profileReport{Name: p.Name, Device: p.Device, Prompts: p.Prompts, Reply: p.ReplyMessage, EndUser: fieldNames(p.EndUser), Address: fieldNames(p.Address),
		Budget: p.Budget.Seconds(), Waits: p.Waits, Raise: p.Raise, Challenge: p.StaticChallenge, Quirks: p.Quirks}
	if v, ok := p.MFA["append"]; ok {
		r.Append = fmt.Sprint(v)
	}
	return r
}

func profilesText(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "PROFILE\tPROMPTS\tREPLY-MESSAGE\tEND USER AND ADDRESS\tBUDGET\tAPPEND\tDEVICE")
	for _, p := range profile.All() {
		fmt.Fprintln(t, strings.Join(append(profileRow(p), p.Device), "\t"))
	}
	if err := t.Flush(); err != nil {
		return err
	}
	for _, p := range profile.All() {
		fmt.Fprintf(w, "\n%s\n  waits: %s\n  set:   %s\n", p.Name, p.Waits, p.Raise)
		for _, q := range p.Quirks {
			fmt.Fprintf(w, "  - %s\n", q)
		}
	}
	return nil
}

func profilesMarkdown(w io.Writer) error {
	fmt.Fprint(w, "\n| profile | device | prompts | shows Reply-Message | end user, address | waits, as delivered | append |\n"+
		"| --- | --- | --- | --- | --- | --- | --- |\n")
	for _, p := range profile.All() {
		row := profileRow(p)
		wait := p.Waits
		if p.Budget > 0 {
			wait = fmt.Sprintf("%s (%s)", row[4], p.Waits)
		}
		link := "#" + p.Name
		if p.NoPassword {
			link = "rd-gateway.md" // a page of its own
		}
		_, err := fmt.Fprintf(w, "| [`%s`](%s) | %s | %s | %s | %s | %s | %s |\n",
			p.Name, link, p.Device, row[1], row[2], row[3], wait, row[5])
		if err != nil {
			return err
		}
	}
	_, err := fmt.Fprintln(w)
	return err
}

// profileRow is what both tables show of a profile.
func profileRow(p *profile.Profile) []string {
	seat := strings.Join(fieldNames(p.EndUser), ", ")
	if !slices.Equal(p.EndUser, p.Address) {
		seat += "; address: " + cmp.Or(strings.Join(fieldNames(p.Address), ", "), "none")
	}
	appends := "off"
	if v, ok := p.MFA["append"]; ok {
		appends = fmt.Sprint(v)
	}
	if p.StaticChallenge {
		appends = "SCRV1, " + appends
	}
	return []string{p.Name, yesNo(p.Prompts), yesNo(p.ReplyMessage), seat, waits(p.Budget), appends}
}

// deviceText is what the device of a client is taken to do, on one line; what the
// client itself says is marked.
func deviceText(c *config.Client) string {
	value := func(key, text string) string {
		if c.Origin(key) == "client "+c.Name {
			text += " (client)"
		}
		return text
	}
	budget := value("budget", waits(c.Budget))
	switch {
	case c.Budget == 0:
		budget = "for an unknown time (budget is not set)"
	case c.Origin("budget") == "profile "+c.Profile:
		budget += " as delivered"
	}
	behind := ""
	if c.Behind != "" {
		behind = fmt.Sprintf("behind client %s as NAS %s, ", c.Behind, text.Printable(strings.Join(c.NAS, ", "), 300))
	}
	return behind + fmt.Sprintf("profile %s: prompts %s, shows Reply-Message %s, end user %s, address %s, waits %s", c.Profile,
		value("prompts", yesNo(c.Prompts)), value("shows_reply_message", yesNo(c.ReplyMessage)),
		value("end_user", cmp.Or(strings.Join(c.EndUser, ", "), "none")), value("address_attribute", cmp.Or(strings.Join(c.Address, ", "), "none")),
		budget)
}

// profileKeys is what a profile sets for its clients.
func profileKeys(p *profile.Profile) map[string]any {
	keys := maps.Clone(p.MFA)
	if keys == nil {
		keys = make(map[string]any)
	}
	keys["prompts"], keys["shows_reply_message"] = p.Prompts, p.ReplyMessage
	keys["end_user"], keys["address_attribute"] = fieldNames(p.EndUser), fieldNames(p.Address)
	if p.Budget > 0 {
		keys["budget"] = p.Budget
	}
	return keys
}

func fieldNames(fields []profile.Field) []string {
	names := make([]string, 0, len(fields))
	for _, f := range fields {
		names = append(names, f.String())
	}
	return names
}

// newProfile is the client's profile with its own keys laid over it.
func newProfile(c *config.Client) (*profile.Profile, error) {
	base, err := profile.Lookup(c.Profile)
	if err != nil {
		return nil, fmt.Errorf("profile: %w", err)
	}
	p := *base
	p.Prompts, p.ReplyMessage, p.Budget = c.Prompts, c.ReplyMessage, c.Budget
	if p.EndUser, err = parseFields(c.EndUser); err != nil {
		return nil, fmt.Errorf("end_user: %w", err)
	}
	if p.Address, err = parseFields(c.Address); err != nil {
		return nil, fmt.Errorf("address_attribute: %w", err)
	}
	return &p, nil
}

func parseFields(names []string) ([]profile.Field, error) {
	var fields []profile.Field
	for _, name := range names {
		f, err := profile.ParseField(name)
		if err != nil {
			return nil, fmt.Errorf("%w; got %q", err, name)
		}
		fields = append(fields, f)
	}
	return fields, nil
}
