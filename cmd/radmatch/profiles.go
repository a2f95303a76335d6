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
profile. The NAS timeout is how long a device waits on
which nothing was set; radmatch answers before it ends. Each value can be
overridden in the client: prompts, shows_reply_message, end_user, address_attribute,
nas_timeout and the keys of mfa:.`,
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
	Name       string   `json:"profile"`
	Device     string   `json:"device"`
	Prompts    bool     `json:"prompts"`
	Reply      bool     `json:"shows_reply_message"`
	EndUser    []string `json:"end_user"`
	Address    []string `json:"address_attribute"`
	NASTimeout float64  `json:"nas_timeout_s,omitempty"` // missing: not known
	Waits      string   `json:"waits"`
	Raise      string   `json:"set"`
	Append     string   `json:"append,omitempty"`
	Challenge  bool     `json:"static_challenge"`
	Quirks     []string `json:"quirks,omitempty"`
}

func newProfileReport(at **profile.Profile) profileReport {
	p := *at
	r := profileReport{Name: p.Name, Device: p.Device, Prompts: p.Prompts, Reply: p.ShowsReplyMessage, EndUser: fieldNames(p.EndUser), Address: fieldNames(p.AddressAttribute),
		NASTimeout: p.NASTimeout.Seconds(), Waits: p.Waits, Raise: p.Raise, Challenge: p.StaticChallenge, Quirks: p.Quirks}
	if v, ok := p.MFA["append"]; ok {
		r.Append = fmt.Sprint(v)
	}
	return r
}

func profilesText(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "PROFILE\tPROMPTS\tREPLY-MESSAGE\tEND USER AND ADDRESS\tNAS TIMEOUT\tAPPEND\tDEVICE")
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
		if p.NASTimeout > 0 {
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
	endUser := strings.Join(fieldNames(p.EndUser), ", ")
	if !slices.Equal(p.EndUser, p.AddressAttribute) {
		endUser += "; address: " + cmp.Or(strings.Join(fieldNames(p.AddressAttribute), ", "), "none")
	}
	appends := "off"
	if v, ok := p.MFA["append"]; ok {
		appends = fmt.Sprint(v)
	}
	if p.StaticChallenge {
		appends = "SCRV1, " + appends
	}
	return []string{p.Name, yesNo(p.Prompts), yesNo(p.ShowsReplyMessage), endUser, waits(p.NASTimeout), appends}
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
	nasTimeout := value("nas_timeout", waits(c.NASTimeout))
	switch {
	case c.NASTimeout == 0:
		nasTimeout = "for an unknown time (nas_timeout is not set)"
	case c.Origin("nas_timeout") == "profile "+c.Profile:
		nasTimeout += " as delivered"
	}
	behind := ""
	if c.Behind != "" {
		behind = fmt.Sprintf("behind client %s as NAS %s, ", c.Behind, text.Printable(strings.Join(c.NAS, ", "), 300))
	}
	return behind + fmt.Sprintf("profile %s: prompts %s, shows Reply-Message %s, end user %s, address %s, waits %s", c.Profile,
		value("prompts", yesNo(c.Prompts)), value("shows_reply_message", yesNo(c.ShowsReplyMessage)),
		value("end_user", cmp.Or(strings.Join(c.EndUser, ", "), "none")), value("address_attribute", cmp.Or(strings.Join(c.AddressAttribute, ", "), "none")),
		nasTimeout)
}

// profileKeys is what a profile sets for its clients.
func profileKeys(p *profile.Profile) map[string]any {
	keys := maps.Clone(p.MFA)
	if keys == nil {
		keys = make(map[string]any)
	}
	keys["prompts"], keys["shows_reply_message"] = p.Prompts, p.ShowsReplyMessage
	keys["end_user"], keys["address_attribute"] = fieldNames(p.EndUser), fieldNames(p.AddressAttribute)
	if p.NASTimeout > 0 {
		keys["nas_timeout"] = p.NASTimeout
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
	p.Prompts, p.ShowsReplyMessage, p.NASTimeout = c.Prompts, c.ShowsReplyMessage, c.NASTimeout
	if p.EndUser, err = parseFields(c.EndUser); err != nil {
		return nil, fmt.Errorf("end_user: %w", err)
	}
	if p.AddressAttribute, err = parseFields(c.AddressAttribute); err != nil {
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
