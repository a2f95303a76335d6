package password

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/go-ldap/ldap/v3"
)

// ldapConn is one connection to a directory server, used by one goroutine at a
// time. It is the only place that knows the LDAP library: the library's calls
// know no context, so every call here closes the socket when its ctx ends.
type ldapConn struct {
	server *ldapServer
	raw    net.Conn // the TCP connection under TLS: closing it never blocks
	conn   *ldap.Conn
	idle   time.Time // since when it is in the pool
}

// ldapEntry is an entry that a search found. Attribute names are in lower case;
// values are octets.
type ldapEntry struct {
	dn         string
	attributes map[string][]string
}

// values returns the values of an attribute.
func (e *ldapEntry) values(name string) []string { return e.attributes[strings.ToLower(name)] }

// ldapResult is a result code of the server other than success (RFC 4511 §4.1.9).
type ldapResult struct {
	code   uint16
	text   string // what the server said, cut
	policy int    // error of the password policy control, -1 without
}

func (e *ldapResult) Error() string {
	return fmt.Sprintf("%s: %q", ldap.LDAPResultCodeMap[e.code], e.text)
}

// ldapLost is a connection that gave no answer.
type ldapLost struct {
	late bool // the server took too long, which says more of it than a broken connection
	err  error
}

func (e *ldapLost) Error() string { return e.err.Error() }
func (e *ldapLost) Unwrap() error { return e.err }

// The result codes that mean something here.
const (
	ldapNoSuchObject        = ldap.LDAPResultNoSuchObject
	ldapSizeLimit           = ldap.LDAPResultSizeLimitExceeded
	ldapInvalidCredentials  = ldap.LDAPResultInvalidCredentials
	ldapInappropriateAuth   = ldap.LDAPResultInappropriateAuthentication
	ldapInsufficientAccess  = ldap.LDAPResultInsufficientAccessRights
	ldapUnwilling           = ldap.LDAPResultUnwillingToPerform
	ldapConstraintViolation = ldap.LDAPResultConstraintViolation
	ldapConfidentiality     = ldap.LDAPResultConfidentialityRequired
	ldapStrongAuth          = ldap.LDAPResultStrongAuthRequired
	ldapOperations          = ldap.LDAPResultOperationsError
	ldapBusy                = ldap.LDAPResultBusy
	ldapUnavailable         = ldap.LDAPResultUnavailable
)

// dialLDAP connects to a server, with TLS unless that is off, until ctx ends.
// Its error is a *stepError.
func dialLDAP(ctx context.Context, s *ldapServer) (*ldapConn, error) {
	raw, err := (&net.Dialer{}).DialContext(ctx, "tcp", s.address)
	if err != nil {
		step := "connect"
		if dns := (*net.DNSError)(nil); errors.As(err, &dns) {
			step = "dns"
		}
		return nil, &stepError{step, err}
	}
	if s.tls != nil && !s.startTLS {
		secured := tls.Client(raw, s.tls)
		if err := secured.HandshakeContext(ctx); err != nil {
			raw.Close()
			return nil, &stepError{"tls", err}
		}
		return startLDAP(s, raw, secured), nil
	}
	c := startLDAP(s, raw, raw)
	if s.startTLS {
		if err := c.do(ctx, func() error { return c.conn.StartTLS(s.tls) }); err != nil {
			c.close()
			return nil, &stepError{"tls", err}
		}
	}
	return c, nil
}

func startLDAP(s *ldapServer, raw, over net.Conn) *ldapConn {
	c := &ldapConn{server: s, raw: raw, conn: ldap.NewConn(over, over != raw)}
	c.conn.Start()
	return c
}

// close ends the connection and the goroutines of the library. It does not block.
func (c *ldapConn) close() {
	c.raw.Close()
	c.conn.Close()
}

// closed reports whether the server has ended the connection.
func (c *ldapConn) closed() bool { return c.conn.IsClosing() }

// do calls the library, and closes the connection when ctx ends before it returns.
func (c *ldapConn) do(ctx context.Context, call func() error) error {
	if err := ctx.Err(); err != nil {
		return &ldapLost{late: errors.Is(err, context.DeadlineExceeded), err: err}
	}
	stop := context.AfterFunc(ctx, func() { c.raw.Close() })
	err := call()
	if !stop() {
		// Even if an answer came in the same moment: nobody can use the connection.
		err := context.Cause(ctx)
		return &ldapLost{late: errors.Is(err, context.DeadlineExceeded), err: err}
	}
	return ldapOutcome(err)
}

// ldapOutcome is an error of the library in our terms.
func ldapOutcome(err error) error {
	if err == nil {
		return nil
	}
	failed := (*ldap.Error)(nil)
	if !errors.As(err, &failed) || failed.ResultCode >= ldap.ErrorNetwork {
		return &ldapLost{err: err}
	}
	return &ldapResult{code: failed.ResultCode, text: cutText(failed.Err.Error()), policy: -1}
}

// bind authenticates as dn. nil means that the server took the password; any
// other answer of the server is an *ldapResult, also a success that the password
// policy of the directory restricts.
func (c *ldapConn) bind(ctx context.Context, dn, password string) error {
	if dn == "" || password == "" {
		// RFC 4513 §5.1.2: the server would say yes to nobody in particular.
		return errors.New("internal error: an LDAP bind without a name or a password")
	}
	// draft-behera-ldap-password-policy: without this control OpenLDAP does not
	// tell why it refuses. Servers that do not know it ignore it.
	request := ldap.NewSimpleBindRequest(dn, password, []ldap.Control{ldap.NewControlBeheraPasswordPolicy()})
	var answer *ldap.SimpleBindResult
	err := c.do(ctx, func() (err error) {
		answer, err = c.conn.SimpleBind(request)
		return err
	})
	result := (*ldapResult)(nil)
	if err != nil && !errors.As(err, &result) {
		return err
	}
	policy := -1
	if answer != nil {
		if control, ok := ldap.FindControl(answer.Controls, ldap.ControlTypeBeheraPasswordPolicy).(*ldap.ControlBeheraPasswordPolicy); ok {
			policy = int(control.Error)
		}
	}
	switch {
	case result != nil:
		result.policy = policy
		return result
	case policy >= 0:
		return &ldapResult{text: ldap.BeheraPasswordPolicyErrorMap[int8(policy)], policy: policy}
	}
	return nil
}

// ldapQuery is a search. most bounds the entries: more are an *ldapResult with
// the code ldapSizeLimit, or where first is set are left out.
type ldapQuery struct {
	base       string
	alone      bool // only the base itself
	filter     string
	attributes []string
	most       int
	first      bool
}

// search returns the entries that match. Referrals are not followed: they would
// lead the password of the service account to servers that nobody configured.
func (c *ldapConn) search(ctx context.Context, q ldapQuery) ([]ldapEntry, error) {
	scope := ldap.ScopeWholeSubtree
	if q.alone {
		scope = ldap.ScopeBaseObject
	}
	request := ldap.NewSearchRequest(q.base, scope, ldap.NeverDerefAliases, q.most, 0, false, q.filter, q.attributes, nil)
	request.EnforceSizeLimit = true
	var found *ldap.SearchResult
	err := c.do(ctx, func() (err error) {
		found, err = c.conn.Search(request)
		return err
	})
	if errors.Is(err, ldap.ErrSizeLimitExceeded) {
		err = &ldapResult{code: ldapSizeLimit, policy: -1}
	}
	if result := (*ldapResult)(nil); q.first && errors.As(err, &result) && result.code == ldapSizeLimit {
		err = nil
	}
	if err != nil {
		return nil, err
	}
	entries := make([]ldapEntry, len(found.Entries))
	for i, e := range found.Entries {
		entries[i] = ldapEntry{dn: e.DN, attributes: map[string][]string{}}
		for _, a := range e.Attributes {
			entries[i].attributes[strings.ToLower(a.Name)] = a.Values
		}
	}
	return entries, nil
}

// escapeLDAP makes a text from the network harmless in a filter (RFC 4515 §3).
func escapeLDAP(text string) string { return ldap.EscapeFilter(text) }

// checkLDAPFilter returns what is wrong with a filter.
func checkLDAPFilter(filter string) error {
	_, err := ldap.CompileFilter(filter)
	return err
}

// ldapRDN returns the first attribute of a DN, in lower case, and its value.
func ldapRDN(dn string) (attribute, value string) {
	parsed, err := ldap.ParseDN(dn)
	if err != nil || len(parsed.RDNs) == 0 || len(parsed.RDNs[0].Attributes) == 0 {
		return "", ""
	}
	first := parsed.RDNs[0].Attributes[0]
	return strings.ToLower(first.Type), first.Value
}

// isLDAPName reports whether text is a DN, and not an empty one.
func isLDAPName(text string) bool {
	parsed, err := ldap.ParseDN(text)
	return err == nil && len(parsed.RDNs) > 0
}

// domainOfDN is the domain that a DN is in, as a DN: its last dc= parts. It is
// empty where there are none.
func domainOfDN(dn string) string {
	parsed, err := ldap.ParseDN(dn)
	if err != nil {
		return ""
	}
	domain := &ldap.DN{}
	for i := len(parsed.RDNs) - 1; i >= 0 && strings.EqualFold(parsed.RDNs[i].Attributes[0].Type, "dc"); i-- {
		domain.RDNs = parsed.RDNs[i:]
	}
	return domain.String()
}

// dnsDomainOf is the domain that a DN is in, as a DNS name. It is empty where
// there is none.
func dnsDomainOf(dn string) string {
	parsed, err := ldap.ParseDN(domainOfDN(dn))
	if err != nil {
		return ""
	}
	var labels []string
	for _, rdn := range parsed.RDNs {
		if len(rdn.Attributes) != 1 {
			return ""
		}
		labels = append(labels, rdn.Attributes[0].Value)
	}
	return strings.Join(labels, ".")
}

// isBelow reports whether a DN is base or below it.
func isBelow(dn, base string) bool {
	d, err := ldap.ParseDN(dn)
	b, errBase := ldap.ParseDN(base)
	return err == nil && errBase == nil && (b.EqualFold(d) || b.AncestorOfFold(d))
}
