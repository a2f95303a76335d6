package config

import (
	"fmt"
	"net"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/radmatch/radmatch/config/load"
)

// The bounds of a shared secret, in octets. Below weakSecret it falls to
// guessing from one captured packet (draft-ietf-radext-deprecating-radius, "Shared Secrets").
const (
	minSecret  = 8
	weakSecret = 12
	maxSecret  = 253
)

// delimiters are the characters that no passcode has as users type it.
const delimiters = "!\"#$%&'()*+,./:;<=>?@[\\]^_`{|}~"

var nameForm = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`)

// finish fills what depends on other keys and checks what needs more than one.
func (c *Config) finish(r *report, known Known) {
	c.checkStore(r)
	if !r.Set("limits.pending_per_client") {
		c.Limits.PendingPerClient = max(1, c.Limits.Pending/2)
	} else if c.Limits.PendingPerClient > c.Limits.Pending && !r.Failed("limits") {
		r.Add("limits.pending_per_client", fmt.Sprint(c.Limits.PendingPerClient), "must be at most limits.pending, %d", c.Limits.Pending)
	}
	c.resolveOverride(r, known)
	c.checkListen(r)
	c.checkWeb(r)
	c.checkWebPush(r)
	c.checkProviders(r, "primaries", c.Primaries)
	c.checkProviders(r, "push", c.Push)
	c.checkMFA(r)
	c.checkClients(r, known)
	c.checkAccounting(r)
	c.checkSecretFiles(r)
}

func (c *Config) checkListen(r *report) {
	if len(c.Listen.RADIUS) == 0 {
		r.Add("listen.radius", "", "must have an address")
	}
	seen := map[string]bool{}
	check := func(key string, addresses []string, port int) {
		for i, a := range addresses {
			if !IsListen(a) {
				r.Add(load.Index(key, i), load.Quote(a), "must be IP:PORT, such as 0.0.0.0:%d or [::1]:%d", port, port)
			} else if seen[a] && !strings.HasSuffix(a, ":0") {
				r.Add(load.Index(key, i), load.Quote(a), "must be there once")
			}
			seen[a] = true
		}
	}
	check("listen.radius", c.Listen.RADIUS, 1812)
	check("listen.accounting", c.Listen.Accounting, 1813)
	if !IsListen(c.Listen.Web) {
		r.Add("listen.web", load.Quote(c.Listen.Web), "must be IP:PORT, such as 127.0.0.1:8080")
	}
}

// checkAccounting checks where reports of sessions are forwarded to.
func (c *Config) checkAccounting(r *report) {
	if len(c.Accounting.Forward) > 0 && len(c.Listen.Accounting) == 0 && !r.Failed("listen.accounting") {
		r.Add("accounting.forward", "", "must not be there without listen.accounting: nothing would come to be forwarded")
	}
	seen := map[string]bool{}
	for i := range c.Accounting.Forward {
		f, key := &c.Accounting.Forward[i], load.Index("accounting.forward", i)
		if r.Bad(key) {
			continue // not an entry at all
		}
		checkName(r, key+".name", f.Name, seen)
		if a, err := netip.ParseAddrPort(f.Address); !r.Failed(key+".address") && (err != nil || a.Port() == 0 || a.Addr().IsUnspecified()) {
			r.Add(key+".address", load.Quote(f.Address), "must be IP:PORT, such as 192.0.2.10:1813")
		}
		c.checkSecret(r, &f.Secret, f.SecretFile, key)
		if len(f.Secret) > 1 {
			r.Add(key+".secret", "", "must be one secret")
		}
	}
}

// IsListen reports whether an address can be listened on: IP:PORT or :PORT.
func IsListen(address string) bool {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return false
	}
	if _, err := netip.ParseAddr(host); err != nil && host != "" {
		return false
	}
	n, err := strconv.ParseUint(port, 10, 16)
	return err == nil && strconv.FormatUint(n, 10) == port
}

// checkName checks the name of an entry and adds it to the earlier ones.
func checkName(r *report, key, name string, earlier map[string]bool) {
	switch {
	case name == "": // the tree has said so
	case !nameForm.MatchString(name):
		r.Add(key, load.Quote(name), "must be letters, digits, dots, dashes and underscores, at most 64")
	case earlier[name]:
		r.Add(key, load.Quote(name), "must be there once")
	}
	earlier[name] = true
}

func (c *Config) checkProviders(r *report, list string, ps []Provider) {
	if len(ps) == 0 && list == "primaries" {
		r.Add(list, "", "must have an entry: where passwords are checked")
	}
	seen := map[string]bool{}
	for i, p := range ps {
		if !r.Failed(load.Index(list, i) + ".type") {
			checkName(r, load.Index(list, i)+".name", p.Name, seen)
		}
		if s, ok := p.Settings.(SettingsChecker); ok && !r.Failed(load.Index(list, i)) {
			s.CheckSettings(func(key, rule, got string) {
				if got != "" {
					got = load.Quote(got)
				}
				r.Add(load.Index(list, i)+"."+key, got, "%s", rule)
			})
		}
	}
}

func (c *Config) checkMFA(r *report) {
	if c.MFA.Push == "" && len(c.Push) > 0 {
		c.MFA.Push = c.Push[0].Name
	}
	c.checkEffective(r, "mfa", &c.MFA)
}

// checkEffective checks the keys of mfa: where they stand, at the root or in a client.
func (c *Config) checkEffective(r *report, at string, m *MFA) {
	key := func(k string) string {
		if r.Set(at + "." + k) {
			return at + "." + k
		}
		return "mfa." + k
	}
	if !r.Failed("push", key("push")) && m.Push != "" && !slices.ContainsFunc(c.Push, func(p Provider) bool { return p.Name == m.Push }) {
		r.Add(key("push"), load.Quote(m.Push), "must be the name of an entry of push%s", load.Suggest(m.Push, providerNames(c.Push)))
	}
	if push, ttl := key("push_timeout"), key("challenge_ttl"); m.PushTimeout > m.ChallengeTTL && !r.Failed(push, ttl) {
		if r.Set(at + ".push_timeout") {
			r.Add(push, load.Quote(load.ShowDuration(m.PushTimeout)), "must be at most challenge_ttl, %s", load.ShowDuration(m.ChallengeTTL))
		} else {
			r.Add(ttl, load.Quote(load.ShowDuration(m.ChallengeTTL)), "must be at least push_timeout, %s", load.ShowDuration(m.PushTimeout))
		}
	}
	if f := c.Fatigue; (at == "mfa" || r.Set(at+".push_timeout")) && !r.Failed("fatigue", key("push_timeout")) {
		if last := time.Duration(f.Prompts-1) * m.PushTimeout; last >= f.Window {
			r.Warn(key("push_timeout"), "%d prompts that nobody answers take longer than fatigue.window, %s: they never reach the fatigue limit", f.Prompts, load.ShowDuration(f.Window))
		}
	}
	for i, p := range m.Exempt.Addresses {
		if at := load.Index(at+".exempt.addresses", i); p.Bits() == 0 && r.Set(at) {
			r.Warn(at, "%s is every address: anyone who comes from a known one signs in with the password only", p)
		}
	}
	if d := m.AppendDelimiter; (d == "" || len(d) > 4 || strings.Trim(d, delimiters) != "") && !r.Failed(key("append_delimiter")) {
		r.Add(key("append_delimiter"), load.Quote(d), "must be 1 to 4 of the characters %s", delimiters)
	}
	if len(m.Credentials) == 0 && !r.Failed(key("credentials")) {
		r.Add(key("credentials"), "[]", "must have an entry: pap, mschapv2 or both")
	}
	if m.RequireMessageAuthenticator == RequireNo && r.Set(at+".require_message_authenticator") {
		r.Warn(key("require_message_authenticator"), "unsigned requests can be forged on the way (Blast-RADIUS, CVE-2024-3596)")
	}
}

func providerNames(ps []Provider) []string {
	var names []string
	for _, p := range ps {
		names = append(names, p.Name)
	}
	return names
}

func (c *Config) checkClients(r *report, known Known) {
	if len(c.Clients) == 0 {
		r.Add("clients", "", "must have an entry: nobody else gets an answer")
	}
	seen := map[string]bool{}
	for i := range c.Clients {
		cl, key := &c.Clients[i], load.Index("clients", i)
		if r.Bad(key) {
			continue // not an entry at all
		}
		if cl.MFA.Push == "" {
			cl.MFA.Push = c.MFA.Push
		}
		checkName(r, key+".name", cl.Name, seen)
		if cl.Behind == "" {
			c.checkSecret(r, &cl.Secret, cl.SecretFile, key)
		}
		c.checkProfile(r, cl, key, known)
		checkFields(r, known, key+".end_user", cl.EndUser)
		checkFields(r, known, key+".address_attribute", cl.AddressAttribute)
		c.checkPrimary(r, cl, key, known)
		c.checkGateway(r, cl, key, known)
		c.checkEffective(r, key, &cl.MFA)
		c.checkEndUser(r, cl, key)
		c.checkMatching(r, cl, key)
		if cl.ExemptClient {
			r.Warn(key+".exempt_client", "its users sign in with only the password")
		}
	}
	c.checkAddresses(r)
	c.checkBehind(r, known)
	c.checkGroups(r)
	c.checkShared(r)
}

// checkSecret checks the secret of the entry key, which is in the file or in one
// of its own, and reads that.
func (c *Config) checkSecret(r *report, secrets *load.Secrets, file, key string) {
	at := key + ".secret"
	switch {
	case r.Failed(at, at+"_file"):
		return
	case r.Set(at) && file != "":
		r.Add(at+"_file", "", "must not stand beside secret")
		return
	case file != "" && r.noSecrets:
		return
	case file != "":
		at += "_file"
		*secrets = c.readSecretFile(r, file, at)
	case !r.Set(at):
		r.Add(at, "", "must be there, or secret_file")
		return
	}
	if n := len(*secrets); !r.Failed(at) && (n == 0 || n > 2) {
		r.Add(at, "", "must be one secret, or two")
	}
	for _, s := range *secrets {
		switch {
		case len(s) < minSecret || len(s) > maxSecret:
			r.Add(at, "", "must be from %d to %d octets", minSecret, maxSecret)
		case len(s) <= weakSecret && !r.Failed(at):
			r.Warn(at, "a secret of %d octets can be guessed from one captured packet; use 32", len(s))
		}
	}
}

func (c *Config) checkProfile(r *report, cl *Client, key string, known Known) {
	at := key + ".profile"
	if _, ok := known.Profiles[cl.Profile]; ok || r.Failed(at) {
		return
	}
	r.Add(at, load.Quote(cl.Profile), "must be %s%s", load.OneOf(load.Names(known.Profiles)), load.Suggest(cl.Profile, load.Names(known.Profiles)))
}

// checkEndUser warns of rules by address where no address is ever known.
func (c *Config) checkEndUser(r *report, cl *Client, key string) {
	if len(cl.AddressAttribute) > 0 || r.Failed(key+".address_attribute", key+".profile") {
		return
	}
	if at := key + ".exempt.addresses"; len(cl.MFA.Exempt.Addresses) > 0 && r.Set(at) {
		r.Warn(at, "the address of the end user is never known (profile %s, see address_attribute): no user is exempt by it", cl.Profile)
	}
	if at := key + ".require.addresses"; len(cl.MFA.Require.Addresses) > 0 && r.Set(at) {
		r.Warn(at, "the address of the end user is never known (profile %s, see address_attribute): every user needs a second factor", cl.Profile)
	}
}

// checkFields checks a list of attributes of a request.
func checkFields(r *report, known Known, key string, attributes []string) {
	if known.Field == nil || !r.Set(key) {
		return // those of a profile are good
	}
	for i, name := range attributes {
		if err := known.Field(name); err != nil && !r.Failed(load.Index(key, i)) {
			r.Add(load.Index(key, i), load.Quote(name), "%s", err)
		}
	}
}

func (c *Config) checkPrimary(r *report, cl *Client, key string, known Known) {
	at := key + ".primary"
	have := providerNames(c.Primaries)
	switch {
	case r.Failed(at, "primaries"):
	case cl.Primary == "" && len(have) == 1:
		cl.Primary = have[0]
	case cl.Primary == "" && slices.Contains(known.NoPassword, cl.Profile):
		r.Warn(key, "has no primary: user names are taken as they come, and a request with a password is rejected")
	case cl.Primary == "":
		r.Add(at, "", "must be there: %s", load.OneOf(have))
	case !slices.Contains(have, cl.Primary):
		r.Add(at, load.Quote(cl.Primary), "must be the name of an entry of primaries%s", load.Suggest(cl.Primary, have))
	}
}

// checkGateway warns of what is unwise for a client that sends no password.
func (c *Config) checkGateway(r *report, cl *Client, key string, known Known) {
	if !slices.Contains(known.NoPassword, cl.Profile) {
		return
	}
	if override, origin := cl.OverrideOTP(); override {
		r.Warn(key+".override_number_matching_with_otp", "is TRUE (%s), and an RD Gateway cannot ask for a passcode: "+
			"a user who has a passcode and a device is rejected with otp_unsupported, as the NPS extension does", origin)
	}
	if !cl.MFA.RequireNASType {
		r.Warn(key+".require_nas_type", "is false: any program with this address and the secret signs users in without a password, "+
			"a VPN server on the same host too; only their second factor is left")
	}
	if cl.MFA.Remember > 0 {
		r.Warn(key+".remember", "the machine name that an RD Gateway passes on is only what the machine calls itself: anyone who has "+
			"the password and knows the name of a machine that was approved signs in from elsewhere without a prompt, for %s", load.ShowDuration(cl.MFA.Remember))
	}
	if cl.Prompts {
		r.Add(key+".prompts", "true", "must be false: an RD Gateway understands only Accept and Reject")
	}
}

func (c *Config) checkAddresses(r *report) {
	owner := map[netip.Prefix]int{}
	for i, cl := range c.Clients {
		key := load.Index("clients", i) + ".addresses"
		if r.Bad(load.Index("clients", i)) {
			continue
		}
		switch {
		case len(cl.Addresses) > 0 || cl.Behind != "" || r.Failed(key):
		case !r.Set(key):
			r.Add(key, "", "must be there")
		default:
			r.Add(key, "", "must have an address")
		}
		for j, p := range cl.Addresses {
			if other, ok := owner[p]; ok && !r.Failed(key) {
				r.Add(load.Index(key, j), load.Quote(p.String()), "must be there once; %s has it", c.label(other))
			}
			owner[p] = i
			if p.Bits() == 0 {
				r.Warn(key, "%s is every address: anyone who has the secret is this client", p)
			}
		}
	}
}

// checkGroups refuses a group that is the name of a client outside of it: a
// client without a group is its own group, and would share its prompts unasked.
func (c *Config) checkGroups(r *report) {
	groups := map[string]string{} // of the clients, by name
	for _, cl := range c.Clients {
		groups[cl.Name] = cl.Group
	}
	for i, cl := range c.Clients {
		key := load.Index("clients", i) + ".group"
		if cl.Group == "" {
			continue
		}
		if !nameForm.MatchString(cl.Group) {
			r.Add(key, load.Quote(cl.Group), "must be letters, digits, dots, dashes and underscores, at most 64")
		}
		if group, ok := groups[cl.Group]; ok && group != cl.Group {
			r.Add(key, load.Quote(cl.Group), "must not be the name of a client that is not in the group")
		}
	}
	for i := range c.Clients {
		if c.Clients[i].Group == "" {
			c.Clients[i].Group = c.Clients[i].Name
		}
	}
}

// checkShared warns of a secret that two clients share: either can then pose as the other.
func (c *Config) checkShared(r *report) {
	owner := map[load.Secret]int{}
	for i, cl := range c.Clients {
		key := load.Index("clients", i) + ".secret"
		if cl.SecretFile != "" {
			key += "_file"
		}
		for _, s := range cl.Secret {
			if other, ok := owner[s]; ok && other != i && !r.Failed(key) {
				r.Warn(key, "%s has the same", c.label(other))
			} else if ok && !r.Failed(key) {
				r.Warn(key, "the two secrets are the same")
			}
			owner[s] = i
		}
	}
}

// label names a client to readers.
func (c *Config) label(i int) string {
	if name := c.Clients[i].Name; name != "" {
		return "client " + name
	}
	return load.Index("clients", i)
}

// checkMatching warns where a protocol that can show no number leads past number
// matching.
func (c *Config) checkMatching(r *report, cl *Client, key string) {
	m := &cl.MFA
	which, on := "number_in_prompt", m.NumberInPrompt && cl.Prompts && cl.ShowsReplyMessage
	if !on {
		which, on = "number_from_device", m.NumberFromDevice && cl.Prompts && !cl.ShowsReplyMessage
	}
	if !on || m.RequireNumberMatching || !slices.Contains(m.Credentials, "mschapv2") {
		return
	}
	r.Warn(key+"."+which, "a login by MS-CHAPv2 cannot show it and gets plain approve/deny, which an attacker who has the password may choose: "+
		"set credentials: [pap], or require_number_matching: true")
}
