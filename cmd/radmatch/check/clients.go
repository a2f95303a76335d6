package check

import (
	"cmp"
	"fmt"
	"strings"
	"text/tabwriter"

	"github.com/radmatch/radmatch/cmd/radmatch/console"
	"github.com/radmatch/radmatch/cmd/radmatch/report"
	"github.com/radmatch/radmatch/config"
	"github.com/radmatch/radmatch/mfa"
	"github.com/radmatch/radmatch/mfa/text"
	"github.com/radmatch/radmatch/radius/profile"
	"github.com/radmatch/radmatch/radius/upstream"
)

// deviceText is what the device of a client is taken to do, on one line; what the
// client itself says is marked.
func deviceText(c *config.Client) string {
	value := func(key, text string) string {
		if c.Origin(key) == "client "+c.Name {
			text += " (client)"
		}
		return text
	}
	nasTimeout := value("nas_timeout", report.NASTimeout(c.NASTimeout))
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
		value("prompts", report.YesNo(c.Prompts)), value("shows_reply_message", report.YesNo(c.ShowsReplyMessage)),
		value("end_user", cmp.Or(strings.Join(c.EndUser, ", "), "none")), value("address_attribute", cmp.Or(strings.Join(c.AddressAttribute, ", "), "none")),
		nasTimeout)
}

// checkClients prints where the override of each client comes from, and what its
// device is taken to do.
func (k *checker) checkClients(cfg *config.Config) error {
	if k.json {
		return console.PrintEach(k.Streams, cfg.Clients, newCheckedClient)
	}
	unset := false
	t := tabwriter.NewWriter(k.Stdout, 0, 0, 2, ' ', 0)
	for i := range cfg.Clients {
		value, origin := cfg.Clients[i].OverrideOTP()
		unset = unset || origin == "default"
		fmt.Fprintf(t, "client %s:\toverride_number_matching_with_otp %v\t(%s)\n", cfg.Clients[i].Name, value, origin)
	}
	for i := range cfg.Clients {
		fmt.Fprintf(t, "client %s:\t%s\n", cfg.Clients[i].Name, deviceText(&cfg.Clients[i]))
	}
	if err := t.Flush(); err != nil {
		return err
	}
	if unset {
		k.find(foundNote, "", "where it is unset, NPS extensions before 1.2.2216.1 behave as FALSE, as radmatch does, and later ones as TRUE", "")
	}
	return nil
}

// warnNASTimeouts warns of clients that give up before a user can answer, with what
// to set on the device.
func (k *checker) warnNASTimeouts(cfg *config.Config) {
	for i := range cfg.Clients {
		c := &cfg.Clients[i]
		kind, err := profile.Lookup(c.Profile)
		if err != nil || !kind.TooShort(c.NASTimeout) {
			continue
		}
		if c.Behind != "" && c.Origin("nas_timeout") == "client "+c.Behind {
			continue // said of the proxy
		}
		k.find(foundWarning, "client "+c.Name, fmt.Sprintf("it waits %s for an answer (%s), a user needs %s: %s; then set nas_timeout to that",
			report.NASTimeout(c.NASTimeout), c.Origin("nas_timeout"), profile.EnoughTime, kind.Raise), "")
	}
}

// warnUnsureNames warns of clients that let users in without a second factor by the
// word of a RADIUS server, which need not say whom it knows by a name.
func (k *checker) warnUnsureNames(cfg *config.Config) {
	asks := map[string]bool{}
	for _, e := range cfg.Primaries {
		_, asks[e.Name] = e.Settings.(*upstream.Settings)
	}
	for i := range cfg.Clients {
		c := &cfg.Clients[i]
		var key string
		switch x := c.MFA.Exempt; {
		case !asks[c.Primary]:
			continue
		case !c.MFA.RequireUserMatch:
			key = "require_user_match: false"
		case c.ExemptClient:
			key = "exempt_client"
		case len(x.Groups)+len(x.Addresses) > 0:
			key = "exempt"
		default:
			continue
		}
		k.find(foundWarning, "client "+c.Name, fmt.Sprintf("%s counts only for sure names: where primary %s does not return User-Name, user@domain is not sure, and is rejected with nothing registered (%s): docs/upstream.md, \"Who the user is\"",
			key, c.Primary, mfa.ReasonUnsureName), "")
	}
}

// checkedClient is a client as check takes it, for machines.
type checkedClient struct {
	Kind             string   `json:"kind"` // client
	Client           string   `json:"client"`
	Profile          string   `json:"profile"`
	Override         bool     `json:"override_number_matching_with_otp"`
	OverrideOrigin   string   `json:"override_origin"`
	Prompts          bool     `json:"prompts"`
	ReplyMessage     bool     `json:"shows_reply_message"`
	EndUser          []string `json:"end_user"`
	Address          []string `json:"address_attribute"`
	NASTimeout       float64  `json:"nas_timeout_s,omitempty"` // missing: not known
	NASTimeoutOrigin string   `json:"nas_timeout_origin,omitempty"`
}

func newCheckedClient(c *config.Client) checkedClient {
	r := checkedClient{Kind: "client", Client: c.Name, Profile: c.Profile, Prompts: c.Prompts, ReplyMessage: c.ShowsReplyMessage,
		EndUser: append([]string{}, c.EndUser...), Address: append([]string{}, c.AddressAttribute...)}
	r.Override, r.OverrideOrigin = c.OverrideOTP()
	if c.NASTimeout > 0 {
		r.NASTimeout, r.NASTimeoutOrigin = c.NASTimeout.Seconds(), c.Origin("nas_timeout")
	}
	return r
}
