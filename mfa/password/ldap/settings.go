package ldap

import (
	"cmp"
	"fmt"
	"net"
	"net/url"
	"path/filepath"
	"strings"
	"time"

	"github.com/radmatch/radmatch/mfa"
	"github.com/radmatch/radmatch/mfa/password/ldap/conn"
)

// Settings are the keys of a primary of type `ldap`.
type Settings struct {
	URL               string   `yaml:"url" first:"true" default:"" doc:"The directory server: ldaps://HOST, or ldap://HOST, which is secured with StartTLS. Either this or urls."`
	URLs              []string `yaml:"urls" default:"" doc:"Several servers of the same directory, the first is used while it answers."`
	CAFile            string   `yaml:"ca_file" default:"" doc:"PEM certificates that the certificate of the server must come from. Unset: those of the operating system."`
	ServerName        string   `yaml:"server_name" default:"" doc:"The name that the certificate must have. Unset: the host of the URL."`
	InsecurePlaintext bool     `yaml:"insecure_plaintext" default:"false" doc:"true: ldap:// without TLS. Every password crosses the network readable."`

	BindDN           string       `yaml:"bind_dn" first:"true" default:"" doc:"The account that searches: a DN, with AD also user@domain. Unset: anonymous."`
	BindPassword     mfa.Password `yaml:"bind_password" default:"" doc:"Its password."`
	BindPasswordFile string       `yaml:"bind_password_file" first:"true" default:"" doc:"A file that holds it in place of bind_password."`

	BaseDN string `yaml:"base_dn" first:"true" example:"dc=example,dc=org" doc:"Where users are searched, and all below."`
	Filter string `yaml:"filter" default:"" doc:"Only entries that match it are users. Unset: (&(objectCategory=person)(objectClass=user)) with AD, otherwise every entry that has login_attribute."`
	Flavor string `yaml:"flavor" default:"auto" enum:"auto,ad,openldap" doc:"ad is Active Directory or Samba; openldap is any other directory. auto asks the server."`

	LoginAttribute          string   `yaml:"login_attribute" default:"" doc:"The attribute that has the name that the user types. Unset: sAMAccountName with AD, where userPrincipalName is tried too; otherwise uid."`
	AlternateLoginAttribute string   `yaml:"alternate_login_attribute" default:"" doc:"An attribute, such as mail, that the user may also sign in with and that names the user for the second factor. (NPS: LDAP_ALTERNATE_LOGINID_ATTRIBUTE.)"`
	DefaultDomain           string   `yaml:"default_domain" default:"" doc:"The domain of names without one."`
	Domains                 []string `yaml:"domains" default:"" doc:"The domains that DOMAIN\\user and user@domain may name; default_domain is one of them. Others are not users of this directory."`
	CanonicalDomain         string   `yaml:"canonical_domain" default:"" doc:"When set, methods, blocks and events know a user as NAME@canonical_domain, otherwise as NAME. Of several directories at most one may leave it unset."`

	Groups       string  `yaml:"groups" default:"auto" enum:"auto,none,token_groups,member_of,search" doc:"How groups are found. token_groups: AD, with nested groups and the primary group. search: groupOfNames, groupOfUniqueNames and posixGroup. member_of: the attribute of that name, as OpenLDAP's overlay keeps it. auto: token_groups with AD, otherwise search."`
	GroupBaseDN  string  `yaml:"group_base_dn" default:"" doc:"Only groups below it count. Unset: the domain of base_dn with AD, otherwise base_dn."`
	NestedGroups bool    `yaml:"nested_groups" default:"true" doc:"Groups in groups; which are in which is believed for 30 seconds. false: only the groups that name the user. token_groups always has all."`
	Reply        []Reply `yaml:"reply" default:"" doc:"Attributes of the user that become attributes of the Access-Accept."`

	NTLMAuth    string `yaml:"ntlm_auth" default:"" example:"/usr/bin/ntlm_auth" doc:"AD: Samba's ntlm_auth, to check MS-CHAPv2 with. This host must have joined the domain, and winbindd run (docs/active-directory.md). Unset: only PAP."`
	NTLMHelpers int    `yaml:"ntlm_helpers" default:"4" min:"1" max:"64" doc:"How many of them run, at most: as many MS-CHAPv2 responses are checked at once."`

	ConnectTimeout time.Duration `yaml:"connect_timeout" default:"2s" min:"100ms" max:"30s" doc:"How long a server may take to be connected to: TCP, TLS and the bind of bind_dn."`
	Timeout        time.Duration `yaml:"timeout" default:"3s" min:"100ms" max:"60s" doc:"How long a server may take for one operation. Keep it below the timeout of the clients, so that there is time for another server."`
	DeadTime       time.Duration `yaml:"dead_time" default:"30s" min:"1s" max:"1h" doc:"How long a server that did not answer is left alone while another one does."`
	Connections    int           `yaml:"connections" default:"16" min:"1" max:"500" doc:"Connections for searches, and as many for the binds of users, at most."`
	Waiting        int           `yaml:"waiting" default:"256" min:"0" max:"100000" doc:"Checks that may wait for a connection. Further ones get no answer."`
}

// Reply makes an attribute of the answer from one of the directory.
type Reply struct {
	Attribute string `yaml:"attribute" required:"true" example:"Filter-Id" doc:"The RADIUS attribute."`
	From      string `yaml:"from" required:"true" example:"department" doc:"The LDAP attribute. Each of its values becomes one attribute; a user without it gets none."`
}

// CheckSettings implements the rules that tags cannot say.
func (s *Settings) CheckSettings(problem func(key, rule, got string)) {
	switch {
	case s.URL == "" && len(s.URLs) == 0:
		problem("url", "must be there, or urls", "")
	case s.URL != "" && len(s.URLs) > 0:
		problem("urls", "must not stand beside url", "")
	case s.URL != "":
		s.checkURL("url", s.URL, problem)
	}
	for i, u := range s.URLs {
		s.checkURL(fmt.Sprintf("urls[%d]", i), u, problem)
	}
	switch {
	case s.BindPassword != "" && s.BindPasswordFile != "":
		problem("bind_password_file", "must not stand beside bind_password", "")
	case s.BindDN == "" && (s.BindPassword != "" || s.BindPasswordFile != ""):
		problem("bind_dn", "must be there where bind_password is", "")
	case s.BindDN != "" && s.BindPassword == "" && s.BindPasswordFile == "":
		problem("bind_password", "must be there, or bind_password_file", "")
	}
	if !conn.IsDN(s.BaseDN) {
		problem("base_dn", "must be a DN, such as dc=example,dc=org", s.BaseDN)
	}
	if s.GroupBaseDN != "" && !conn.IsDN(s.GroupBaseDN) {
		problem("group_base_dn", "must be a DN, such as ou=groups,dc=example,dc=org", s.GroupBaseDN)
	}
	if s.Filter != "" && conn.CheckFilter(s.Filter) != nil {
		problem("filter", "must be an LDAP filter, such as (objectClass=person)", s.Filter)
	}
	if s.NTLMAuth != "" && !filepath.IsAbs(s.NTLMAuth) {
		problem("ntlm_auth", "must be the whole path of a program, such as /usr/bin/ntlm_auth", s.NTLMAuth)
	}
	if s.NTLMAuth != "" && s.Flavor == flavorOpenLDAP {
		problem("ntlm_auth", "must not stand beside flavor: openldap", "")
	}
	s.checkNames(problem)
}

func (s *Settings) checkURL(key, text string, problem func(key, rule, got string)) {
	u, err := url.Parse(text)
	if err != nil || (u.Scheme != "ldaps" && u.Scheme != "ldap") || u.Hostname() == "" || text != u.Scheme+"://"+u.Host {
		problem(key, "must be ldaps://HOST, ldap://HOST or the same with :PORT", text)
		return
	}
	if u.Scheme == "ldaps" && s.InsecurePlaintext {
		problem("insecure_plaintext", "must not stand beside ldaps://", "")
	}
}

func (s *Settings) checkNames(problem func(key, rule, got string)) {
	for key, attribute := range map[string]string{
		"login_attribute": s.LoginAttribute, "alternate_login_attribute": s.AlternateLoginAttribute,
	} {
		if attribute != "" && !isAttributeName(attribute) {
			problem(key, "must be the name of an LDAP attribute", attribute)
		}
	}
	for i, r := range s.Reply {
		if !isAttributeName(r.From) {
			problem(fmt.Sprintf("reply[%d].from", i), "must be the name of an LDAP attribute", r.From)
		}
	}
	check := func(key, domain string) {
		if strings.ContainsAny(domain, "@\\ \t") || domain == "" {
			problem(key, `must be a domain, such as EXAMPLE or example.org`, domain)
		}
	}
	for i, d := range s.Domains {
		check(fmt.Sprintf("domains[%d]", i), d)
	}
	if s.DefaultDomain != "" {
		check("default_domain", s.DefaultDomain)
	}
	if s.CanonicalDomain != "" {
		check("canonical_domain", s.CanonicalDomain)
	}
}

// isAttributeName reports whether text can be an attribute description (RFC 4512 §2.5).
func isAttributeName(text string) bool {
	for _, r := range text {
		if (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && !strings.ContainsRune("-.;", r) {
			return false
		}
	}
	return text != ""
}

// urls are the servers in their order.
func (s *Settings) urls() []string {
	if s.URL != "" {
		return []string{s.URL}
	}
	return s.URLs
}

// addressOf is where to connect to for a URL that CheckSettings has passed.
func addressOf(text string) (host, address string, plain bool) {
	u, _ := url.Parse(text)
	port := cmp.Or(u.Port(), map[string]string{"ldap": "389", "ldaps": "636"}[u.Scheme])
	return u.Hostname(), net.JoinHostPort(u.Hostname(), port), u.Scheme == "ldap"
}
