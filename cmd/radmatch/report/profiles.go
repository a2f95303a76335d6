package report

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/radmatch/radmatch/cmd/radmatch/providers"
	"github.com/radmatch/radmatch/radius/profile"
)

// Profile is a profile for machines.
type Profile struct {
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

// NewProfile reports a profile.
func NewProfile(at **profile.Profile) Profile {
	p := *at
	r := Profile{Name: p.Name, Device: p.Device, Prompts: p.Prompts, Reply: p.ShowsReplyMessage, EndUser: providers.FieldNames(p.EndUser), Address: providers.FieldNames(p.AddressAttribute),
		NASTimeout: p.NASTimeout.Seconds(), Waits: p.Waits, Raise: p.Raise, Challenge: p.StaticChallenge, Quirks: p.Quirks}
	if v, ok := p.MFA["append"]; ok {
		r.Append = fmt.Sprint(v)
	}
	return r
}

// PrintProfiles prints all profiles for readers.
func PrintProfiles(w io.Writer) error {
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

// PrintMarkdown prints all profiles as the table of docs/clients.md.
func PrintMarkdown(w io.Writer) error {
	fmt.Fprint(w, "\n| profile | device | prompts | shows Reply-Message | end user, address | waits, as delivered | append |\n"+
		"| --- | --- | --- | --- | --- | --- | --- |\n")
	for _, p := range profile.All() {
		row := profileRow(p)
		wait := p.Waits
		if p.NASTimeout > 0 {
			wait = fmt.Sprintf("%s (%s)", row[4], p.Waits)
		}
		link := p.Page + "#" + p.Name
		if p.NoPassword {
			link = p.Page // the whole page
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
	endUser := strings.Join(providers.FieldNames(p.EndUser), ", ")
	if !slices.Equal(p.EndUser, p.AddressAttribute) {
		endUser += "; address: " + cmp.Or(strings.Join(providers.FieldNames(p.AddressAttribute), ", "), "none")
	}
	appends := "off"
	if v, ok := p.MFA["append"]; ok {
		appends = fmt.Sprint(v)
	}
	if p.StaticChallenge {
		appends = "SCRV1, " + appends
	}
	return []string{p.Name, YesNo(p.Prompts), YesNo(p.ShowsReplyMessage), endUser, NASTimeout(p.NASTimeout), appends}
}
