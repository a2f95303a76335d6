package conn

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"
	"unicode"

	goldap "github.com/go-ldap/ldap/v3"

	"github.com/radmatch/radmatch/mfa/text"
)

// Conn is one connection to a directory server, used by one goroutine at a
// time. The library's calls know no context, so every call here closes the socket
// when its ctx ends.
type Conn struct {
	server *Server
	raw    net.Conn // the TCP connection under TLS: closing it never blocks
	conn   *goldap.Conn
	idle   time.Time // since when it is in the pool
}

// Entry is an entry that a search found. Attribute names are in lower case;
// values are octets.
type Entry struct {
	DN         string
	Attributes map[string][]string
}

// Values returns the values of an attribute.
func (e *Entry) Values(name string) []string { return e.Attributes[strings.ToLower(name)] }

// ResultError is a result code of the server other than success (RFC 4511 §4.1.9).
type ResultError struct {
	Code   uint16
	Text   string // what the server said, cut
	Policy int    // error of the password policy control, -1 without
}

func (e *ResultError) Error() string {
	return fmt.Sprintf("%s: %q", goldap.LDAPResultCodeMap[e.Code], e.Text)
}

// LostError is a connection that gave no answer.
type LostError struct {
	TimedOut bool // the server took too long, which says more of it than a broken connection
	Err      error
}

func (e *LostError) Error() string { return e.Err.Error() }
func (e *LostError) Unwrap() error { return e.Err }

// The result codes that mean something here.
const (
	CodeNoSuchObject        = goldap.LDAPResultNoSuchObject
	CodeSizeLimit           = goldap.LDAPResultSizeLimitExceeded
	CodeInvalidCredentials  = goldap.LDAPResultInvalidCredentials
	CodeInappropriateAuth   = goldap.LDAPResultInappropriateAuthentication
	CodeInsufficientAccess  = goldap.LDAPResultInsufficientAccessRights
	codeUnwilling           = goldap.LDAPResultUnwillingToPerform
	CodeConstraintViolation = goldap.LDAPResultConstraintViolation
	CodeConfidentiality     = goldap.LDAPResultConfidentialityRequired
	CodeStrongAuth          = goldap.LDAPResultStrongAuthRequired
	CodeOperations          = goldap.LDAPResultOperationsError
	CodeBusy                = goldap.LDAPResultBusy
	CodeUnavailable         = goldap.LDAPResultUnavailable
)

// dial connects to a server, with TLS unless that is off, until ctx ends.
// Its error is a *StepError.
func dial(ctx context.Context, s *Server) (*Conn, error) {
	raw, err := (&net.Dialer{}).DialContext(ctx, "tcp", s.Address)
	if err != nil {
		step := "connect"
		if dns := (*net.DNSError)(nil); errors.As(err, &dns) {
			step = "dns"
		}
		return nil, &StepError{step, err}
	}
	if s.TLS != nil && !s.StartTLS {
		secured := tls.Client(raw, s.TLS)
		if err := secured.HandshakeContext(ctx); err != nil {
			raw.Close()
			return nil, &StepError{"tls", err}
		}
		return start(s, raw, secured), nil
	}
	c := start(s, raw, raw)
	if s.StartTLS {
		if err := c.do(ctx, func() error { return c.conn.StartTLS(s.TLS) }); err != nil {
			c.Close()
			return nil, &StepError{"tls", err}
		}
	}
	return c, nil
}

func start(s *Server, raw, over net.Conn) *Conn {
	c := &Conn{server: s, raw: raw, conn: goldap.NewConn(over, over != raw)}
	c.conn.Start()
	return c
}

// Close ends the connection and the goroutines of the library. It does not block.
func (c *Conn) Close() {
	c.raw.Close()
	c.conn.Close()
}

// closed reports whether the server has ended the connection.
func (c *Conn) closed() bool { return c.conn.IsClosing() }

// do calls the library, and closes the connection when ctx ends before it returns.
func (c *Conn) do(ctx context.Context, call func() error) error {
	if err := ctx.Err(); err != nil {
		return &LostError{TimedOut: errors.Is(err, context.DeadlineExceeded), Err: err}
	}
	stop := context.AfterFunc(ctx, func() { c.raw.Close() })
	err := call()
	if !stop() {
		// Even if an answer came in the same moment: nobody can use the connection.
		err := context.Cause(ctx)
		return &LostError{TimedOut: errors.Is(err, context.DeadlineExceeded), Err: err}
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
		return &LostError{Err: err}
	}
	return &ResultError{Code: failed.ResultCode, Text: CutText(failed.Err.Error()), Policy: -1}
}

// Bind authenticates as dn. nil means that the server took the password; any
// other answer of the server is a *ResultError, also a success that the password
// policy of the directory restricts.
func (c *Conn) Bind(ctx context.Context, dn, password string) error {
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
	result := (*ResultError)(nil)
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
		result.Policy = policy
		return result
	case policy >= 0:
		return &ResultError{Text: goldap.BeheraPasswordPolicyErrorMap[int8(policy)], Policy: policy}
	}
	return nil
}

// Query is a search. most bounds the entries: more are a *ResultError with
// the code CodeSizeLimit, or where first is set are left out.
type Query struct {
	Base       string
	Alone      bool // only the base itself
	Filter     string
	Attributes []string
	Most       int
	First      bool
}

// Search returns the entries that match. Referrals are not followed: they would
// lead the password of the service account to servers that nobody configured.
func (c *Conn) Search(ctx context.Context, q Query) ([]Entry, error) {
	scope := goldap.ScopeWholeSubtree
	if q.Alone {
		scope = goldap.ScopeBaseObject
	}
	request := goldap.NewSearchRequest(q.Base, scope, goldap.NeverDerefAliases, q.Most, 0, false, q.Filter, q.Attributes, nil)
	request.EnforceSizeLimit = true
	var found *goldap.SearchResult
	err := c.do(ctx, func() (err error) {
		found, err = c.conn.Search(request)
		return err
	})
	if errors.Is(err, goldap.ErrSizeLimitExceeded) {
		err = &ResultError{Code: CodeSizeLimit, Policy: -1}
	}
	if result := (*ResultError)(nil); q.First && errors.As(err, &result) && result.Code == CodeSizeLimit {
		err = nil
	}
	if err != nil {
		return nil, err
	}
	entries := make([]Entry, len(found.Entries))
	for i, e := range found.Entries {
		entries[i] = Entry{DN: e.DN, Attributes: map[string][]string{}}
		for _, a := range e.Attributes {
			entries[i].Attributes[strings.ToLower(a.Name)] = a.Values
		}
	}
	return entries, nil
}

// CutText is a text of a server as the log may have it.
func CutText(s string) string {
	return text.Short(strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return -1 // AD ends its own with NUL
		}
		return r
	}, strings.ToValidUTF8(s, "?")), 200)
}
