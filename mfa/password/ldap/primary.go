package ldap

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"go.uber.org/zap"

	"github.com/radmatch/radmatch/mfa"
	"github.com/radmatch/radmatch/mfa/password"
	"github.com/radmatch/radmatch/mfa/password/ldap/conn"
	"github.com/radmatch/radmatch/mfa/password/winbind"
	"github.com/radmatch/radmatch/mfa/text"
	"github.com/radmatch/radmatch/mfa/textfile"
)

// Primary checks passwords in a directory: it searches the user with an account of
// its own, then binds as the user. Its methods may be called concurrently.
//
// A name that the directory does not have costs less time than one that it has;
// what hides that from an unknown caller is the delay of every rejection.
type Primary struct {
	// Taken reports whether a name belongs to a user of another primary: such a
	// user of this directory gets no answer. nil: none does. It may be changed
	// until the first call.
	Taken func(name mfa.Name) bool

	settings *Settings
	encode   password.Encode
	check    func([]mfa.Attribute) error
	pool     *conn.Pool
	recent   *recent
	wrong    wrongHashes
	groups   groupFinder
	ntlm     *winbind.Checker          // nil: no MS-CHAPv2
	known    atomic.Pointer[directory] // once it was asked
}

var (
	_ mfa.PasswordChecker = (*Primary)(nil)
	_ mfa.IdentityFinder  = (*Primary)(nil)
	_ mfa.Connector       = (*Primary)(nil)
	_ password.Member     = (*Primary)(nil)
)

// Parts is what Open builds upon.
type Parts struct {
	Resolve    func(path string) string // of a file, as seen from the configuration
	ReadSecret func(path string) (string, error)
	Encode     password.Encode             // of a reply attribute
	CheckReply func([]mfa.Attribute) error // whether they can be sent
	Logger     *zap.Logger
}

// Open makes the primary of settings that CheckSettings has passed. It reads
// files but connects to nothing: that is for the first check, or for Connect.
func Open(s *Settings, parts Parts) (*Primary, error) {
	p := &Primary{settings: s, encode: parts.Encode, check: parts.CheckReply, recent: newRecent(),
		groups: groupFinder{mode: s.Groups, base: s.GroupBaseDN, nested: s.NestedGroups, sids: newSIDNames(), nests: newNesting()}}
	for i, r := range s.Reply {
		if err := p.checkReplyName(r); err != nil {
			return nil, fmt.Errorf("reply[%d]: %w", i, err)
		}
	}
	if s.NTLMAuth != "" {
		var err error
		if p.ntlm, err = winbind.New(s.NTLMAuth, s.NTLMHelpers); err != nil {
			return nil, err
		}
	}
	secret := s.BindPassword
	if s.BindPasswordFile != "" {
		read, err := parts.ReadSecret(s.BindPasswordFile)
		if err != nil {
			return nil, fmt.Errorf("bind_password_file: %w", err)
		}
		secret = mfa.Password(read)
	}
	servers, err := s.servers(parts.Resolve)
	if err != nil {
		return nil, err
	}
	p.pool = conn.NewPool(conn.Settings{
		BindDN: s.BindDN, BindPassword: secret, ConnectTimeout: s.ConnectTimeout, Timeout: s.Timeout, DeadTime: s.DeadTime,
		Connections: s.Connections, Waiting: s.Waiting, Logger: parts.Logger,
	}, servers)
	return p, nil
}

// servers are those of the directory, in the order in which they are tried.
func (s *Settings) servers(resolve func(string) string) (list []*conn.Server, err error) {
	var roots *x509.CertPool // nil: those of the operating system
	if s.CAFile != "" {
		if roots, err = textfile.Roots(resolve(s.CAFile)); err != nil {
			return nil, fmt.Errorf("ca_file: %w", err)
		}
	}
	for _, u := range s.urls() {
		host, address, plain := addressOf(u)
		one := &conn.Server{URL: u, Address: address, StartTLS: plain && !s.InsecurePlaintext}
		if !plain || one.StartTLS {
			one.TLS = &tls.Config{RootCAs: roots, ServerName: host, MinVersion: tls.VersionTLS12}
			if s.ServerName != "" {
				one.TLS.ServerName = s.ServerName
			}
		}
		list = append(list, one)
	}
	return list, nil
}

// checkReplyName refuses an attribute that no answer can carry. Whether a value
// fits is known only when there is one, so any kind of value will do here.
func (p *Primary) checkReplyName(r Reply) error {
	var err error
	for _, value := range []string{"1", "192.0.2.1", "2001:db8::1", "2001:db8::/64", "0x00", "Framed-User"} {
		var a mfa.Attribute
		if a, err = p.encode(r.Attribute, value); err == nil {
			return p.check([]mfa.Attribute{a})
		}
	}
	return err
}

var errNotPAP = fmt.Errorf("a directory checks only PAP and MS-CHAPv2: %w", mfa.ErrUnsupported)

// Check implements mfa.PasswordChecker.
func (p *Primary) Check(ctx context.Context, user mfa.Name, cred mfa.Credential) (mfa.Identity, error) {
	if err := ctx.Err(); err != nil {
		return mfa.Identity{}, err
	}
	if c, ok := cred.(mfa.MSCHAPv2); ok {
		return p.checkMSCHAPv2(ctx, user, c)
	}
	secret, ok := cred.(mfa.Password)
	if !ok {
		return mfa.Identity{}, errNotPAP
	}
	// An empty password would be an anonymous bind, which succeeds. Some server may
	// drop what follows a NUL, or replace what is not UTF-8.
	if secret == "" || len(secret) > password.MaxPassword || strings.IndexByte(string(secret), 0) >= 0 || !utf8.ValidString(string(secret)) {
		return mfa.Identity{}, password.ErrWrongPassword
	}
	name, err := p.settings.parseLogin(user.String())
	if err != nil {
		return mfa.Identity{}, err
	}
	return p.recent.check(ctx, attemptBy{typed: user.String()}, string(secret), func() (mfa.Identity, error) {
		ctx, cancel := p.limit(ctx)
		defer cancel()
		found, err := p.find(ctx, name)
		if err != nil {
			return mfa.Identity{}, p.of(name, err)
		}
		// However the name is spelled, one login of an entry is one bind.
		return p.recent.check(ctx, attemptBy{dn: found.entry.DN}, string(secret), func() (mfa.Identity, error) {
			id, err := p.signIn(ctx, found, string(secret))
			if errors.Is(err, mfa.ErrRejected) {
				err = &mfa.UserError{User: found.name, Err: err}
			}
			if p.ntlm != nil && staysRefused(err) {
				p.wrong.learn(found.name, string(secret), err, time.Now())
			}
			return id, err
		})
	})
}

// of adds to a rejection what a user would be called whom the directory does not have.
func (p *Primary) of(name text.LoginName, err error) error {
	if !errors.Is(err, mfa.ErrRejected) {
		return err
	}
	return &mfa.UserError{User: p.called(name.Bare), Err: err}
}

// limit bounds the whole of a check, waiting included.
func (p *Primary) limit(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, time.Duration(len(p.pool.Servers()))*p.settings.ConnectTimeout+3*p.settings.Timeout)
}

// signIn is one check of a user who was found, from the bind to the groups.
func (p *Primary) signIn(ctx context.Context, user userEntry, password string) (mfa.Identity, error) {
	err := p.pool.Run(ctx, conn.Binding, func(ctx context.Context, c *conn.Conn) error {
		return c.Bind(ctx, user.entry.DN, password)
	})
	if result := (*conn.ResultError)(nil); errors.As(err, &result) {
		return mfa.Identity{}, refusedBind(result)
	}
	if err != nil {
		return mfa.Identity{}, err
	}
	return p.identity(ctx, user)
}

// Find implements mfa.IdentityFinder.
func (p *Primary) Find(ctx context.Context, user mfa.Name) (mfa.Identity, error) {
	name, err := p.settings.parseLogin(user.String())
	if err != nil {
		return mfa.Identity{}, err
	}
	ctx, cancel := p.limit(ctx)
	defer cancel()
	found, err := p.find(ctx, name)
	if err != nil {
		return mfa.Identity{}, err
	}
	return p.identity(ctx, found)
}

// FindName returns what the user is called who signs in as typed. It is always
// sure, and looks at nothing of the user but the name.
func (p *Primary) FindName(ctx context.Context, typed mfa.Name) (name mfa.Name, sure bool, err error) {
	n, err := p.settings.parseLogin(typed.String())
	if err != nil {
		return mfa.Name{}, false, err
	}
	ctx, cancel := p.limit(ctx)
	defer cancel()
	found, err := p.find(ctx, n)
	return found.name, err == nil, err
}

// FindNamed returns the name of the user who is called so. That need not be what
// the user may type: canonical_domain need not be among the domains.
func (p *Primary) FindNamed(ctx context.Context, name mfa.Name) (_ mfa.Name, sure bool, err error) {
	own := name.String()
	if domain := p.settings.CanonicalDomain; domain != "" {
		own = password.WithoutDomain(own, domain)
	}
	if own == "" || len(own) > password.MaxName || !utf8.ValidString(own) {
		return mfa.Name{}, false, errNoUser
	}
	ctx, cancel := p.limit(ctx)
	defer cancel()
	found, err := p.findWith(ctx, func(ctx context.Context, c *conn.Conn, d *directory) (userEntry, error) {
		return p.findNamed(ctx, c, d, own)
	})
	return found.name, err == nil, err
}

// Lists reports whether names of this domain are users of this directory.
func (p *Primary) Lists(domain string) bool { return p.settings.Lists(domain) }

// Abilities implements mfa.PasswordChecker. Two directories with the same namespace
// could have the same user by chance.
func (p *Primary) Abilities() mfa.Abilities {
	return mfa.Abilities{Finder: p, TriedAtStart: true, Namespaces: []string{mfa.NameOf(p.settings.CanonicalDomain).Key().String()}}
}

// Close implements io.Closer as mfa.PasswordChecker demands.
func (p *Primary) Close() error {
	p.pool.Close()
	if p.ntlm != nil {
		p.ntlm.Close()
	}
	return nil
}

// attributes are those of a user that are needed.
func (p *Primary) attributes(d *directory) []string {
	list := []string{d.login.attribute, "uid", "userAccountControl"}
	if p.ntlm != nil {
		list = append(list, "sAMAccountName")
	}
	for _, a := range []string{d.login.upn, d.login.alternate} {
		if a != "" {
			list = append(list, a)
		}
	}
	if p.groups.mode == "member_of" {
		list = append(list, attributeGroup)
	}
	for _, r := range d.reply {
		list = append(list, r.From)
	}
	slices.Sort(list)
	return slices.Compact(list)
}

// search runs call with a connection of the service account, and tells it which
// directory that is.
func (p *Primary) search(ctx context.Context, call func(ctx context.Context, c *conn.Conn, d *directory) error) error {
	return p.pool.Run(ctx, conn.Searching, func(ctx context.Context, c *conn.Conn) error {
		d, err := p.directory(ctx, c)
		if err != nil {
			return err
		}
		return call(ctx, c, d)
	})
}

// identity is what is told of a user whose password was right.
func (p *Primary) identity(ctx context.Context, user userEntry) (mfa.Identity, error) {
	id := mfa.Identity{Name: user.name, Known: true, Disabled: disabledInAD(user.entry)}
	var err error
	if id.Attributes, err = p.reply(p.known.Load(), user.entry); err != nil {
		return mfa.Identity{}, err
	}
	if p.settings.Groups == "none" {
		return id, nil
	}
	var groups []group
	err = p.search(ctx, func(ctx context.Context, c *conn.Conn, d *directory) error {
		groups, err = p.groupsOf(d.ad).find(ctx, c, user.entry)
		return err
	})
	if err != nil {
		return mfa.Identity{}, err
	}
	slices.SortFunc(groups, func(a, b group) int { return cmp.Or(cmp.Compare(a.name, b.name), cmp.Compare(a.dn, b.dn)) })
	for _, g := range slices.Compact(groups) {
		id.Groups = append(id.Groups, mfa.GroupIn(g.name, g.dn))
	}
	return id, nil
}

// groupsOf fills in what depends on the flavor.
func (p *Primary) groupsOf(ad bool) *groupFinder {
	g := p.groups
	if g.mode == "auto" {
		g.mode = "search"
		if ad {
			g.mode = "token_groups"
		}
	}
	if g.base == "" {
		g.base = p.settings.BaseDN
		if domain := conn.DomainOfDN(g.base); ad && domain != "" {
			g.base = domain
		}
	}
	return &g
}

// disabledInAD reads ADS_UF_ACCOUNTDISABLE. After a bind it is never set; it is
// for those who are found without one.
func disabledInAD(e *conn.Entry) bool {
	const accountDisable = 2
	values := e.Values("userAccountControl")
	if len(values) != 1 {
		return false
	}
	control, err := strconv.ParseInt(values[0], 10, 64)
	return err != nil || control&accountDisable != 0
}

// reply makes attributes of the answer. A value that cannot be sent is a refusal:
// it may be what keeps the user out of a network, and no other server could send it.
// How much fits into the answer depends on the client, and is measured there.
func (p *Primary) reply(d *directory, e *conn.Entry) ([]mfa.Attribute, error) {
	var attributes []mfa.Attribute
	for _, r := range d.reply {
		if len(e.Values(r.From)) == 0 {
			if other := d.foreign(e); other != "" {
				return nil, fmt.Errorf("reply: %s from %s: the directory answers with %s: name that in the configuration", r.Attribute, r.From, conn.CutText(other))
			}
		}
		for _, value := range e.Values(r.From) {
			a, err := p.encode(r.Attribute, value)
			if err == nil {
				err = p.check([]mfa.Attribute{a})
			}
			if err != nil {
				return nil, invalidReply(fmt.Errorf("%s from %s: %w", r.Attribute, r.From, err))
			}
			if attributes = append(attributes, a); len(attributes) > password.MaxReply {
				return nil, invalidReply(fmt.Errorf("more than %d attributes", password.MaxReply))
			}
		}
	}
	return attributes, nil
}

// invalidReply is the refusal of a user whose reply attributes cannot be sent. It
// comes after the right password.
func invalidReply(err error) error {
	return &mfa.AccountError{Reason: mfa.ReasonReplyInvalid, Proven: true, Err: fmt.Errorf("reply: %w", err)}
}
