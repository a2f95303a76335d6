package config

import (
	"errors"
	"net"
	"net/netip"
	"net/url"
	"path/filepath"
	"strings"
	"time"

	"github.com/radmatch/radmatch/config/load"
)

// The tags of a field: yaml is the key, doc explains it, default is its value
// where the file has none, enum, min and max bound it, required says that the
// file must have it, example is shown where there is no default. was is a name
// that the key had before: who still writes it is told the new one. first marks the
// keys that a first reader needs; config describe shows the others with --all. A
// field is called as its key; a test holds them together.

// Config is the content of radmatch.yaml. Relative paths in it have been
// resolved against the folder of the file.
type Config struct {
	Listen       Listen     `yaml:"listen" doc:"The addresses that the server listens on."`
	DataDir      string     `yaml:"data_dir" first:"true" default:"./data" doc:"Folder of the embedded database and its sealing key, made on first start (0700). One server a folder. With store.type: postgres there is only what this server tells commands beside it, and certificates by ACME."`
	Store        Store      `yaml:"store" doc:"The database: an embedded one in data_dir, or PostgreSQL, which several servers share. See docs/cluster.md."`
	Node         string     `yaml:"node" example:"vpn-a" doc:"What this server is called among those that share a database. Unset: the name of the host."`
	Seal         Seal       `yaml:"seal" doc:"The keys that seal the secrets of tokens, where they are not in data_dir."`
	Web          Web        `yaml:"web" doc:"How devices and browsers reach the server."`
	Dictionaries string     `yaml:"dictionaries" example:"./dictionaries" doc:"Folder of further dictionaries of attributes, in the format of FreeRADIUS 3: the files dictionary.* and *.dictionary; where there is a file dictionary, that one and what it includes. See docs/attributes.md."`
	Primaries    []Provider `yaml:"primaries" required:"true" doc:"Where passwords are checked."`
	Push         []Provider `yaml:"push" doc:"What carries prompts to users. Unset: one of type approver, named phone. An empty list: no push at all."`
	Clients      []Client   `yaml:"clients" required:"true" doc:"The RADIUS clients: VPN concentrators, gateways, hosts. Any key of mfa: may stand here too, and wins."`
	MFA          MFA        `yaml:"mfa" doc:"The second factor, for all clients that do not say otherwise."`
	Lockout      Lockout    `yaml:"lockout" doc:"Wrong passcodes after a right password lock the passcodes of the user for a time."`
	Fatigue      Fatigue    `yaml:"fatigue" doc:"Prompts that the user did not approve stop plain approve/deny prompts for a time."`
	Limits       Limits     `yaml:"limits" doc:"When a limit is reached, new logins are dropped; pending ones go on."`
	Accounting   Accounting `yaml:"accounting" doc:"What becomes of the reports that come to listen.accounting."`
	Events       Events     `yaml:"events" doc:"The audit trail. The oldest events go first."`
	Policy       Policy     `yaml:"policy" doc:"Features, by group."`
	Log          Log        `yaml:"log" doc:"The log on standard error."`

	File     string   `yaml:"-"` // as named on the command line
	Warnings Problems `yaml:"-"` // what is allowed but unwise

	lines map[string]int // key path to line
}

// Listen is the addresses that the server listens on.
type Listen struct {
	RADIUS []string `yaml:"radius" first:"true" default:"0.0.0.0:1812" doc:"Addresses for RADIUS over UDP, each IP:PORT. Without an IP: all addresses, IPv6 too."`
	// Accounting turns accounting on.
	Accounting []string `yaml:"accounting" default:"" example:"0.0.0.0:1813" doc:"Addresses for RADIUS accounting over UDP, as in radius. Unset: none. Reports of sessions are verified, recorded, acknowledged and change nothing else; each Access-Accept then carries a Class attribute that joins the session to the login."`
	Web        string   `yaml:"web" first:"true" default:"127.0.0.1:8080" doc:"Address of the pages and the device protocol. Without web.tls it must be one of this machine (loopback): put a reverse proxy with TLS in front and name it in web.public_url. See docs/tls.md."`
}

// Web is how devices and browsers reach the server.
type Web struct {
	PublicURL string `yaml:"public_url" first:"true" example:"https://mfa.example.org" doc:"The address under which devices reach listen.web; invitations carry it. Unset: listen.web."`
	Passkeys  string `yaml:"passkeys" default:"preferred" enum:"preferred,required,off" doc:"Passkeys (WebAuthn: fingerprint, face or PIN) that confirm approvals in a browser. preferred: where a device has one it is needed; required: a device without one cannot approve, and radmatch phone never has one; off: none can be registered, and a device that has one still needs it. They need a public_url with a name, over https or on localhost."`
	// TrustedProxies are believed about who is behind them.
	TrustedProxies []netip.Prefix `yaml:"trusted_proxies" default:"" example:"127.0.0.1" doc:"The reverse proxies (IP or prefix) whose X-Forwarded-For is believed: the address that they add last counts in limits and in the log. Unset: the address of the connection, which behind a proxy is the proxy's."`
	GeoIPDatabase  string         `yaml:"geoip_database" example:"./GeoLite2-City.mmdb" doc:"A database in the format of MaxMind (GeoLite2 City, DB-IP City Lite). With it a request shows city and country of the end user's address, where that is known from a signed request. It is read into memory, and again when it is replaced."`
	TLS            TLS            `yaml:"tls" doc:"TLS on listen.web itself: a certificate of your own, or one by ACME. Unset: plain HTTP, for a reverse proxy on this machine."`
	InsecureHTTP   bool           `yaml:"insecure_http" default:"false" doc:"true: plain HTTP on an address that is not loopback, for a reverse proxy on another machine. Anyone who listens between the two reads invitations and prompts."`
	// Web Push.
	PushServices []string `yaml:"push_services" default:"fcm.googleapis.com,updates.push.services.mozilla.com,*.notify.windows.com,*.push.apple.com,web.push.apple.com" doc:"Web Push, which notifies a locked phone: the push services of browsers that this server sends to, each HOST, *.DOMAIN, or HOST:PORT of one of your own. An empty list: no Web Push. See docs/web-push.md."`
	PushContact  string   `yaml:"push_contact" example:"mailto:postmaster@example.org" doc:"Where operators of push services reach you, mailto: or https:. Unset: public_url, if it is https. At a full host name: Apple refuses localhost and bare names."`
	PushCAFile   string   `yaml:"push_ca_file" example:"push-ca.pem" doc:"A file of CA certificates (PEM) for push services of your own, in place of the system's."`
}

// TLS is where listen.web has its certificate from.
type TLS struct {
	CertFile string `yaml:"cert_file" first:"true" example:"/etc/ssl/mfa.example.org.pem" doc:"The certificate, PEM, those of the authorities between it and the root behind it. It is read again when it changes."`
	KeyFile  string `yaml:"key_file" first:"true" example:"/etc/ssl/private/mfa.example.org.key" doc:"Its private key, PEM. It is read again when it changes."`
	ACME     ACME   `yaml:"acme" doc:"Certificates from an authority that speaks ACME, such as Let's Encrypt, renewed in the background. They are kept in the folder acme of data_dir."`
}

// ACME is an authority that issues certificates by RFC 8555.
type ACME struct {
	Domains     []string `yaml:"domains" example:"mfa.example.org" doc:"The names that certificates are asked for, one each. The authority must reach port 443 of each, forwarded to listen.web, or port 80, forwarded to http_listen."`
	Email       string   `yaml:"email" example:"admin@example.org" doc:"Where the authority writes about trouble with the certificates."`
	Directory   string   `yaml:"directory" default:"https://acme-v02.api.letsencrypt.org/directory" doc:"The directory of the authority."`
	CAFile      string   `yaml:"ca_file" example:"/etc/radmatch/ca.pem" doc:"Roots, PEM, that the directory's own certificate is checked with. Unset: those of the system."`
	AcceptTerms bool     `yaml:"accept_terms" example:"true" doc:"true: you have read the terms of service of the authority and agree. It must be said."`
	HTTPListen  string   `yaml:"http_listen" example:"0.0.0.0:80" doc:"Address for the challenge HTTP-01, where port 443 is not forwarded. Everything else there is sent on to web.public_url. Unset: only TLS-ALPN-01 on listen.web."`
}

// Files reports whether the certificate stands in files.
func (t TLS) Files() bool { return t.CertFile != "" || t.KeyFile != "" }

// On reports whether listen.web speaks TLS.
func (t TLS) On() bool { return t.Files() || len(t.ACME.Domains) > 0 }

// Provider is one entry of primaries or push. Its other keys depend on its type.
type Provider struct {
	Name     string `yaml:"name" first:"true" required:"true" doc:"What clients call it."`
	Type     string `yaml:"type" first:"true" required:"true" doc:"The kind of provider; the other keys depend on it."`
	Settings any    `yaml:"-"`          // a pointer to the settings type of Type
	Where    string `yaml:"-" json:"-"` // FILE:LINE: key.path, for errors of its constructor
}

// SettingsChecker is a settings type of a provider with rules that its tags
// cannot say. CheckSettings calls problem for each fault: key is below the
// provider's entry ("servers[1].address"), got is empty for a secret. It is
// pure, and is called when all that the tags say is so.
type SettingsChecker interface {
	CheckSettings(problem func(key, rule, got string))
}

// Client is one RADIUS client.
type Client struct {
	Name         string         `yaml:"name" first:"true" required:"true" example:"vpn" doc:"What events, logs and commands call it."`
	Addresses    []netip.Prefix `yaml:"addresses" first:"true" shown:"true" example:"203.0.113.0/24" doc:"The addresses that its packets come from, as IP or prefix. The longest prefix of all clients wins. Must be there, except beside behind."`
	Secret       load.Secrets   `yaml:"secret" first:"true" octets:"8,253" doc:"The shared secret, at least 8 octets, better 32; or a list of two while it is being changed (unsigned requests are read with the first)."`
	SecretFile   string         `yaml:"secret_file" first:"true" example:"secrets/vpn" doc:"A file that holds the secret in place of secret, one a line, at most two."`
	Behind       string         `yaml:"behind" example:"proxy" doc:"The name of the client that is the proxy before this device. Then nas must be there, and neither addresses nor a secret. See docs/proxies.md."`
	NAS          []string       `yaml:"nas" example:"branch-7" doc:"How the device behind the proxy is told in signed requests: addresses (IP or prefix) are those of NAS-IP-Address and NAS-IPv6-Address, anything else that does not look like an address is a NAS-Identifier, which comes first."`
	Profile      string         `yaml:"profile" first:"true" default:"generic" doc:"What kind of device it is."`
	Group        string         `yaml:"group" first:"true" example:"edge" doc:"Clients of one group share open prompts. Unset: the client is its own group."`
	Primary      string         `yaml:"primary" example:"file" doc:"The name of the primary that checks its passwords. Unset: the only one. With the profile rdgateway, and several: none."`
	AllowGroups  []string       `yaml:"allow_groups" first:"true" default:"" doc:"The groups whose members may sign in here, by name or, in LDAP, by DN. Empty: everyone."`
	ExemptClient bool           `yaml:"exempt_client" default:"false" doc:"true: its users need no second factor."`
	// What the device can do. The profile has a value for each.
	Prompts           bool          `yaml:"prompts" example:"true" doc:"Whether the device shows an Access-Challenge and sends the answer. Unset: as its profile."`
	ShowsReplyMessage bool          `yaml:"shows_reply_message" example:"true" doc:"Whether the device shows Reply-Message to the user. Unset: as its profile."`
	EndUser           []string      `yaml:"end_user" example:"Calling-Station-Id" doc:"The attributes that name the end user; the first that a request carries counts. Unset: those of its profile."`
	AddressAttribute  []string      `yaml:"address_attribute" was:"address" example:"Calling-Station-Id" doc:"The attributes that hold the address of the end user; the first that a signed request carries counts. Never that of the device itself. Unset: those of its profile."`
	NASTimeout        time.Duration `yaml:"nas_timeout" first:"true" was:"budget" example:"60s" min:"1s" max:"10m" doc:"How long the device waits for an answer, all that it sends again included. Set it to what the device is set to. Unset: as its profile."`
	MFA               MFA           `yaml:",inline" doc:"Any key of mfa: may stand here too."` // in effect for this client: its own keys over the profile's over mfa:

	origins map[string]string // key to where its value comes from
}

// KeySets says how a client is told: by an address and a secret, or behind a proxy.
func (Client) KeySets() [][]string {
	return [][]string{{"addresses", "secret"}, {"addresses", "secret_file"}, {"behind", "nas"}}
}

// MFA is how the second factor works. For a Client it holds the values in effect.
type MFA struct {
	OverrideNumberMatchingWithOTP *bool         `yaml:"override_number_matching_with_otp" example:"true" doc:"true: who has a passcode method is asked for a passcode in place of a push. Unset: the environment variable OVERRIDE_NUMBER_MATCHING_WITH_OTP (TRUE or FALSE) decides, then false. (NPS extensions before 1.2.2216.1 behave as FALSE where it is unset, later ones as TRUE.)"`
	RequireUserMatch              bool          `yaml:"require_user_match" first:"true" default:"true" doc:"false: users with no registered method sign in with only the password."`
	NumberInPrompt                bool          `yaml:"number_in_prompt" first:"true" default:"false" doc:"Number matching in Reply-Message, where the profile shows it."`
	NumberFromDevice              bool          `yaml:"number_from_device" default:"false" doc:"Number matching the other way, where the profile shows a prompt and no Reply-Message: after the approval the device shows a code, and the user types it into the prompt."`
	RequireNumberMatching         bool          `yaml:"require_number_matching" default:"false" doc:"true: no plain approve/deny, for no user and by no protocol. A prompt has a number to type or asks for a device code, as the client can show it. Otherwise a passcode is asked for, or the login is denied."`
	Credentials                   []string      `yaml:"credentials" default:"pap,mschapv2" enum:"pap,mschapv2" doc:"The protocols by which a password is taken. A protocol that is not listed is unsupported_credential and does not reach the primary. With only pap, MS-CHAPv2 is no way around a number in the prompt."`
	Append                        string        `yaml:"append" first:"true" default:"off" enum:"off,suffix,delimiter" doc:"How users type a passcode behind the password, for clients that cannot ask for one: delimiter: password,123456; suffix: password123456. It concerns users with a passcode method only. See docs/append.md."`
	AppendDelimiter               string        `yaml:"append_delimiter" default:"," doc:"The text between password and passcode. The last one counts. With either style, the word push behind it says that no passcode comes."`
	Push                          string        `yaml:"push" example:"approver" doc:"The name of the push provider. Unset: the first one."`
	PushTimeout                   time.Duration `yaml:"push_timeout" first:"true" default:"55s" min:"1s" max:"10m" doc:"How long a push waits for the user. Keep it below the timeout of the client."`
	ChallengeTTL                  time.Duration `yaml:"challenge_ttl" default:"3m" min:"1s" max:"30m" doc:"How long an Access-Challenge waits for its answer."`
	Join                          bool          `yaml:"join" default:"true" doc:"One login, one prompt: a second request of the same user from the same place joins the open prompt."`
	Remember                      time.Duration `yaml:"remember" default:"0s" min:"0s" max:"12h" doc:"How long an approval on a device spares the same user, from the same end-user address or machine, another prompt. Only for signed requests; forgotten at a denial, a wrong password, a block and a restart. 0s: every login asks."`
	OnPrimaryError                string        `yaml:"on_primary_error" default:"discard" enum:"discard,reject" doc:"What a request gets when the primary gave no answer: none, or Access-Reject."`
	OnMFAError                    string        `yaml:"on_mfa_error" default:"discard" enum:"discard,reject" doc:"The same when the store or the push provider failed."`
	RejectDelay                   time.Duration `yaml:"reject_delay" default:"1s" min:"500ms" max:"10s" doc:"An Access-Reject leaves no sooner than this after its request."`
	RequireMessageAuthenticator   Require       `yaml:"require_message_authenticator" default:"auto" enum:"yes,no,auto" doc:"Whether requests must be signed (Blast-RADIUS). auto: from the first signed request of an address on, and always for MS-CHAPv2. See docs/operating.md."`
	RequireNASType                bool          `yaml:"require_nas_type" default:"true" doc:"A request without a password, which only the profile rdgateway allows, must say that it comes from an RD Gateway (MS-Network-Access-Server-Type is 1). false: it need not."`
	Exempt                        Exempt        `yaml:"exempt" doc:"The users who need no second factor."`
	GroupReplies                  []GroupReply  `yaml:"group_replies" doc:"What the Access-Accept carries for the members of a group, beside what the primary has for the user. See docs/attributes.md."`
	Require                       Required      `yaml:"require" doc:"The users who always need a second factor. It wins over exempt and exempt_client, and over require_user_match: false."`
}

// Exempt is who needs no second factor.
type Exempt struct {
	Groups    []string       `yaml:"groups" first:"true" default:"" doc:"Groups, by name or DN, whose members need no second factor."`
	Addresses []netip.Prefix `yaml:"addresses" default:"" doc:"End users who come from these addresses (IP or prefix) need no second factor. Only the attribute of the profile in a signed request counts, never the address of the client. Where it is missing, no user is exempt."`
}

// GroupReply is the reply attributes of a group.
type GroupReply struct {
	Group string     `yaml:"group" required:"true" example:"staff" doc:"The group, by name or DN; all_users is everyone."`
	Reply load.Pairs `yaml:"reply" required:"true" example:"[{Filter-Id: employees}]" doc:"Attributes by name, each with a value or a list of values; a tag stands behind a colon. Or a list of such sections. Of a type that the user has, or a group before this one, none is added."`
}

// Required is who always needs a second factor.
type Required struct {
	Groups    []string       `yaml:"groups" default:"" doc:"Groups, by name or DN, whose members always need a second factor; all_users is everyone."`
	Addresses []netip.Prefix `yaml:"addresses" default:"" doc:"End users who come from these addresses always need a second factor, and so do those whose address is not known."`
}

// Require is yes, no or auto.
type Require string

// The values of Require.
const (
	RequireYes  Require = "yes"
	RequireNo   Require = "no"
	RequireAuto Require = "auto"
)

// Lockout locks the passcodes of a user.
type Lockout struct {
	Passcodes int           `yaml:"passcodes" was:"codes" default:"10" min:"3" max:"100" doc:"How many wrong passcodes. Wrong device codes count too."`
	Window    time.Duration `yaml:"window" default:"15m" min:"1s" max:"24h" doc:"Within what time."`
	For       time.Duration `yaml:"for" default:"15m" min:"1s" max:"7d" doc:"How long the passcodes stay locked. Each lock in a row is twice as long as the one before, up to 24h; a right one ends the row, and 100 wrong ones in a row lock until user unblock."`
}

// Fatigue stops prompts to a user.
type Fatigue struct {
	Prompts         int           `yaml:"prompts" default:"5" min:"1" max:"100" doc:"How many prompts without an approval."`
	Window          time.Duration `yaml:"window" default:"10m" min:"1s" max:"24h" doc:"Within what time."`
	For             time.Duration `yaml:"for" default:"30m" min:"1s" max:"7d" doc:"How long the user gets passcodes or number matching only."`
	Total           int           `yaml:"total" default:"30" min:"1" max:"10000" doc:"How many prompts of any kind within window, approved or not. Beyond that no prompt is sent."`
	NotMeBlocksUser bool          `yaml:"not_me_blocks_user" default:"false" doc:"\"This was not me\" blocks the user entirely, not only push at that client. Anyone who has the device can then lock its owner out."`
}

// Limits bound memory.
type Limits struct {
	Pending          int `yaml:"pending" default:"50000" min:"10" max:"1000000" doc:"Logins that wait at once."`
	PendingPerClient int `yaml:"pending_per_client" default:"25000" min:"1" max:"1000000" doc:"The same for each client; never more than pending. Unset: half of pending, so that one client leaves room for the others."`
	Attributes       int `yaml:"attributes" default:"200" min:"20" max:"2000" doc:"Attributes of a packet."`
}

// Accounting is what becomes of reports of sessions.
type Accounting struct {
	Forward []Forward `yaml:"forward" doc:"Servers that get a copy of each report, after it was recorded: the first that acknowledges it. Reports that wait for them are in memory, for at most an hour."`
}

// Forward is a server that reports of sessions are forwarded to.
type Forward struct {
	Name       string       `yaml:"name" required:"true" example:"nps" doc:"What the log calls it."`
	Address    string       `yaml:"address" required:"true" example:"192.0.2.10:1813" doc:"Where it listens, IP:PORT."`
	Secret     load.Secrets `yaml:"secret" octets:"8,253" doc:"The secret that it shares with this server, at least 8 octets, better 32."`
	SecretFile string       `yaml:"secret_file" example:"secrets/nps" doc:"A file that holds the secret in place of secret."`
}

// Events bound the audit trail.
type Events struct {
	Keep    time.Duration `yaml:"keep" first:"true" default:"180d" min:"1d" max:"3650d" doc:"How long an event is kept."`
	MaxSize load.Size     `yaml:"max_size" default:"2GiB" min:"16MiB" max:"1TiB" doc:"What events may fill: beyond it the oldest go, with a warning where they are younger than keep. Reports of sessions may fill a quarter of it beside them; users, tokens and devices do not count."`
}

// Policy switches features by group.
type Policy struct {
	NumberMatching      Feature `yaml:"number_matching" doc:"Number matching. Users for whom it is off get approve/deny, and are never asked for a passcode by override_number_matching_with_otp."`
	ShowApplicationName Feature `yaml:"show_application_name" doc:"The prompt on a device names the client that the user signs in to."`
	ShowLocation        Feature `yaml:"show_location" doc:"The prompt on a device says from where the user signs in."`
}

// Feature is on for the members of some groups.
type Feature struct {
	State   string   `yaml:"state" default:"enabled" enum:"enabled,disabled,default" doc:"default means enabled."`
	Include []string `yaml:"include" default:"all_users" doc:"Groups, by name or DN; all_users is everyone."`
	Exclude []string `yaml:"exclude" default:"" doc:"Groups, by name or DN; wins over include."`
}

// Enabled reports whether the feature is on at all.
func (f Feature) Enabled() bool { return f.State != "disabled" }

// Log is what the log says and how.
type Log struct {
	Level  string `yaml:"level" first:"true" default:"info" enum:"debug,info,warn,error" doc:"The least level that is logged."`
	Format string `yaml:"format" default:"auto" enum:"auto,console,json" doc:"console is for reading, json for machines. auto: console on a terminal, otherwise json."`
}

// Resolve returns path as seen from the folder of the file.
func (c *Config) Resolve(path string) string {
	if path == "" || filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(filepath.Dir(c.File), path)
}

// Where names a key of the file to readers: FILE:LINE: key.
func (c *Config) Where(key string) string { return load.Where(c.File, c.lines[key], key) }

// PublicURL is the address under which devices reach the server, without a
// slash at the end. Where it is not set, only devices on this machine do, or
// those that know a name of ACME's.
func (c *Config) PublicURL() string {
	if c.Web.PublicURL != "" {
		return c.Web.PublicURL
	}
	host, port, _ := net.SplitHostPort(c.Listen.Web)
	if a, err := netip.ParseAddr(host); err != nil || a.IsUnspecified() {
		host = "127.0.0.1"
	}
	switch {
	case len(c.Web.TLS.ACME.Domains) > 0:
		return "https://" + c.Web.TLS.ACME.Domains[0] // where the authority looks, too
	case c.Web.TLS.On():
		return "https://" + net.JoinHostPort(host, port)
	}
	return "http://" + net.JoinHostPort(host, port)
}

// RelyingParty is for whom passkeys are: the host of the public URL, and the
// origin of the page there. The error says why there can be none (WebAuthn §5.1.2).
func (c *Config) RelyingParty() (id, origin string, err error) {
	u, err := url.Parse(c.PublicURL())
	if err != nil {
		return "", "", errors.New("web.public_url is no URL")
	}
	id = strings.ToLower(u.Hostname())
	local := id == "localhost" || strings.HasSuffix(id, ".localhost")
	if _, err := netip.ParseAddr(id); err == nil || id == "" {
		return "", "", errors.New("web.public_url names an address, and passkeys are for a name")
	}
	if u.Scheme != "https" && !local {
		return "", "", errors.New("web.public_url does not begin with https://")
	}
	host := id
	if port := u.Port(); port != "" && !(u.Scheme == "https" && port == "443") && !(u.Scheme == "http" && port == "80") {
		host = net.JoinHostPort(id, port)
	}
	return id, u.Scheme + "://" + host, nil
}

// OverrideOTP is override_number_matching_with_otp as it is in effect for the
// client, and where it comes from: "client NAME", "profile NAME", "mfa",
// "environment" or "default".
func (c *Client) OverrideOTP() (value bool, origin string) {
	return *c.MFA.OverrideNumberMatchingWithOTP, c.Origin("override_number_matching_with_otp")
}

// Origin tells where the value of a key of mfa:, or one that describes the
// device, comes from for this client.
func (c *Client) Origin(key string) string {
	if o, ok := c.origins[key]; ok {
		return o
	}
	return "default"
}
