package ldap

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	goldap "github.com/go-ldap/ldap/v3"
)

// conn is one connection to a directory server, used by one goroutine at a
// time. It is the only place that knows the LDAP library: the library's calls
// know no context, so every call here closes the socket when its ctx ends.
type conn struct {
	server *server
	raw    net.Conn // the TCP connection under TLS: closing it never blocks
	conn   *goldap.Conn
	idle   time.Time // since when it is in the pool
}

// entry is an entry that a search found. Attribute names are in lower case;
// values are octets.
type entry struct {
	dn         string
	attributes map[string][]string
}

// values returns the values of an attribute.
func (e *entry) values(name string) []string { return e.attributes[strings.ToLower(name)] }

// resultError is a result code of the server other than success (RFC 4511 §4.1.9).
type resultError struct {
	code   uint16
	text   string // what the server said, cut
	policy int    // error of the password policy control, -1 without
}

func (e *resultError) Error() string {
	return fmt.Sprintf("%s: %q", goldap.LDAPResultCodeMap[e.code], e.text)
}

// lostError is a connection that gave no answer.
type lostError struct {
	late bool // the server took too long, which says more of it than a broken connection
	err  error
}

func (e *lostError) Error() string { return e.err.Error() }
func (e *lostError) Unwrap() error { return e.err }

// The result codes that mean something here.
const (
	codeNoSuchObject        = goldap.LDAPResultNoSuchObject
	codeSizeLimit           = goldap.LDAPResultSizeLimitExceeded
	codeInvalidCredentials  = goldap.LDAPResultInvalidCredentials
	codeInappropriateAuth   = goldap.LDAPResultInappropriateAuthentication
	codeInsufficientAccess  = goldap.LDAPResultInsufficientAccessRights
	codeUnwilling           = goldap.LDAPResultUnwillingToPerform
	codeConstraintViolation = goldap.LDAPResultConstraintViolation
	codeConfidentiality     = goldap.LDAPResultConfidentialityRequired
	codeStrongAuth          = goldap.LDAPResultStrongAuthRequired
	codeOperations          = goldap.LDAPResultOperationsError
	codeBusy                = goldap.LDAPResultBusy
	codeUnavailable         = goldap.LDAPResultUnavailable
)

// dial connects to a server, with TLS unless that is off, until ctx ends.
// Its error is a *stepError.
func dial(ctx context.Context, s *server) (*conn, error) {
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
		return start(s, raw, secured), nil
	}
	c := start(s, raw, raw)
	if s.startTLS {
		if err := c.do(ctx, func() error { return c.conn.StartTLS(s.tls) }); err != nil {
			c.close()
			return nil, &stepError{"tls", err}
		}
	}
	return c, nil
}

func start(s *server, raw, over net.Conn) *conn {
	c := &conn{server: s, raw: raw, conn: goldap.NewConn(over, over != raw)}
	c.conn.Start()
	return c
}

// close ends the connection and the goroutines of the library. It does not block.
func (c *conn) close() {
	c.raw.Close()
	c.conn.Close()
}

// closed reports whether the server has ended the connection.
func (c *conn) closed() bool { return c.conn.IsClosing() }

// do calls the library, and closes the connection when ctx ends before it returns.
func (c *conn) do(ctx context.Context, call func() error) error {
	if err := ctx.Err(); err != nil {
		return &lostError{late: errors.Is(err, context.DeadlineExceeded), err: err}
	}
	stop := context.AfterFunc(ctx, func() { c.raw.Close() })
	err := call()
	if !stop() {
		// Even if an answer came in the same moment: nobody can use the connection.
		err := context.Cause(ctx)
		return &lostError{late: errors.Is(err, context.DeadlineExceeded), err: err}
	}
	return outcome(err)
}

// outcome is an error of the library in our terms.
func outcome(err error) error {
	if err == nil {
		return nil
	}
	failed := (*goldap.Error)(nil)
	if !errors.As(err, &failed) || failed.ResultCode >= goldap.ErrorNetwork {
		return &lostError{err: err}
	}
	return &resultError{code: failed.ResultCode, text: cutText(failed.Err.Error()), policy: -1}
}

// bind authenticates as dn. nil means that the server took the password; any
// other answer of the server is a *resultError, also a success that the password
// policy of the directory restricts.
func (c *conn) bind(ctx context.Context, dn, password string) error {
	if dn == "" || password == "" {
		// RFC 4513 §5.1.2: the server would accept an anonymous bind.
		return errors.New("internal error: an LDAP bind without a name or a password")
	}
	// draft-behera-ldap-password-policy: without this control OpenLDAP does not
	// tell why it refuses. Servers that do not know it ignore it.
	request := goldap.NewSimpleBindRequest(dn, password, []goldap.Control{goldap.NewControlBeheraPasswordPolicy()})
	var answer *goldap.SimpleBindResult
	err := c.do(ctx, func() (err error) {
		answer, err = c.conn.SimpleBind(request)
		return err
	})
	result := (*resultError)(nil)
	if err != nil && !errors.As(err, &result) {
		return err
	}
	policy := -1
	if answer != nil {
		if control, ok := goldap.FindControl(answer.Controls, goldap.ControlTypeBeheraPasswordPolicy).(*goldap.ControlBeheraPasswordPolicy); ok {
			policy = int(control.Error)
		}
	}
	switch {
	case result != nil:
		result.policy = policy
		return result
	case policy >= 0:
		return &resultError{text: goldap.BeheraPasswordPolicyErrorMap[int8(policy)], policy: policy}
	}
	return nil
}

// query is a search. most bounds the entries: more are a *resultError with
// the code codeSizeLimit, or where first is set are left out.
type query struct {
	base       string
	alone      bool // only the base itself
	filter     string
	attributes []string
	most       int
	first      bool
}

// search returns the entries that match. Referrals are not followed: they would
// lead the password of the service account to servers that nobody configured.
func (c *conn) search(ctx context.Context, q query) ([]entry, error) {
	scope := goldap.ScopeWholeSubtree
	if q.alone {
		scope = goldap.ScopeBaseObject
	}
	request := goldap.NewSearchRequest(q.base, scope, goldap.NeverDerefAliases, q.most, 0, false, q.filter, q.attributes, nil)
	request.EnforceSizeLimit = true
	var found *goldap.SearchResult
	err := c.do(ctx, func() (err error) {
		found, err = c.conn.Search(request)
		return err
	})
	if errors.Is(err, goldap.ErrSizeLimitExceeded) {
		err = &resultError{code: codeSizeLimit, policy: -1}
	}
	if result := (*resultError)(nil); q.first && errors.As(err, &result) && result.code == codeSizeLimit {
		err = nil
	}
	if err != nil {
		return nil, err
	}
	entries := make([]entry, len(found.Entries))
	for i, e := range found.Entries {
		entries[i] = entry{dn: e.DN, attributes: map[string][]string{}}
		for _, a := range e.Attributes {
			entries[i].attributes[strings.ToLower(a.Name)] = a.Values
		}
	}
	return entries, nil
}

// escape makes a text from the network harmless in a filter (RFC 4515 §3).
func escape(text string) string { return goldap.EscapeFilter(text) }

// checkFilter returns what is wrong with a filter.
func checkFilter(filter string) error {
	_, err := goldap.CompileFilter(filter)
	return err
}

// firstRDN returns the first attribute of a DN, in lower case, and its value.
func firstRDN(dn string) (attribute, value string) {
	parsed, err := goldap.ParseDN(dn)
	if err != nil || len(parsed.RDNs) == 0 || len(parsed.RDNs[0].Attributes) == 0 {
		return "", ""
	}
	first := parsed.RDNs[0].Attributes[0]
	return strings.ToLower(first.Type), first.Value
}

// isDN reports whether text is a DN, and not an empty one.
func isDN(text string) bool {
	parsed, err := goldap.ParseDN(text)
	return err == nil && len(parsed.RDNs) > 0
}

// domainOfDN is the domain that a DN is in, as a DN: its last dc= parts. It is
// empty where there are none.
func domainOfDN(dn string) string {
	parsed, err := goldap.ParseDN(dn)
	if err != nil {
		return ""
	}
	domain := &goldap.DN{}
	for i := len(parsed.RDNs) - 1; i >= 0 && strings.EqualFold(parsed.RDNs[i].Attributes[0].Type, "dc"); i-- {
		domain.RDNs = parsed.RDNs[i:]
	}
	return domain.String()
}

// dnsDomainOf is the domain that a DN is in, as a DNS name. It is empty where
// there is none.
func dnsDomainOf(dn string) string {
	parsed, err := goldap.ParseDN(domainOfDN(dn))
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
	d, err := goldap.ParseDN(dn)
	b, errBase := goldap.ParseDN(base)
	return err == nil && errBase == nil && (b.EqualFold(d) || b.AncestorOfFold(d))
}
