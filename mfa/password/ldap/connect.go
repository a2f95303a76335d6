package ldap

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"

	"github.com/radmatch/radmatch/mfa"
	"github.com/radmatch/radmatch/mfa/password/ldap/conn"
)

// Connect implements mfa.Connector: it takes each server through what a login
// needs, from the name in the DNS to a search for users.
func (p *Primary) Connect(ctx context.Context) error {
	var failed []error
	for _, s := range p.pool.Servers() {
		if err := p.try(ctx, s); err != nil {
			step := (*conn.StepError)(nil)
			if !errors.As(err, &step) {
				step = &conn.StepError{Step: "search", Err: err}
			}
			failed = append(failed, &mfa.ConnectError{Server: s.URL, Step: step.Step, Err: step.Err, Hint: p.hint(s, step)})
		}
	}
	if p.ntlm != nil {
		if err := p.ntlm.Connect(ctx); err != nil {
			failed = append(failed, err)
		}
	}
	if len(failed) == 1 {
		return failed[0]
	}
	return errors.Join(failed...)
}

func (p *Primary) try(ctx context.Context, s *conn.Server) error {
	c, err := p.pool.Dial(ctx, s, conn.Searching)
	if err != nil {
		return err
	}
	defer c.Close()
	ctx, cancel := context.WithTimeout(ctx, p.settings.Timeout)
	defer cancel()
	d, names, err := p.learn(ctx, c)
	if err != nil {
		return &conn.StepError{Step: "search", Err: err}
	}
	for _, base := range []string{p.settings.BaseDN, p.settings.GroupBaseDN} {
		if base == "" {
			continue
		}
		found, err := c.Search(ctx, conn.Query{Base: base, Alone: true, Filter: "(objectClass=*)", Attributes: []string{"1.1"}, Most: 1})
		if err == nil && len(found) == 0 {
			err = errHidden
		}
		if err != nil {
			return &conn.StepError{Step: "search", Err: fmt.Errorf("%q: %w", base, err)}
		}
	}
	filter := d.login.users("(" + d.login.attribute + "=*)")
	switch some, err := anyOf(ctx, c, p.settings.BaseDN, filter); {
	case err == nil && !some:
		err = errNobody
		fallthrough
	case err != nil:
		return &conn.StepError{Step: "search", Err: fmt.Errorf("%s below %q: %w", filter, p.settings.BaseDN, err)}
	}
	if err := p.tryAttributes(ctx, c, d, names); err != nil {
		return err
	}
	return p.tryReplies(ctx, c, d)
}

// anyOf reports whether an entry matches.
func anyOf(ctx context.Context, c *conn.Conn, base, filter string) (bool, error) {
	found, err := c.Search(ctx, conn.Query{Base: base, Filter: filter, Attributes: []string{"1.1"}, Most: 1})
	if result := (*conn.ResultError)(nil); errors.As(err, &result) && result.Code == conn.CodeSizeLimit {
		return true, nil // there are more
	}
	return len(found) > 0, err
}

// tryAttributes looks for the attributes that the operator has named: an entry
// never has one that the schema does not know. Of a schema that is hidden, or not
// whole, an entry that has it is enough.
func (p *Primary) tryAttributes(ctx context.Context, c *conn.Conn, d *directory, names schema) error {
	for _, a := range p.settings.named() {
		if names.has(a.name) {
			continue
		}
		some, err := anyOf(ctx, c, p.settings.BaseDN, d.login.users("("+a.name+"=*)"))
		if err == nil && !some && d.ad {
			some, err = inADSchema(ctx, c, a.name)
		}
		if err != nil {
			return &conn.StepError{Step: "search", Err: fmt.Errorf("%s: %w", a.key, err)}
		}
		if !some && (d.ad || names != nil) {
			return &conn.StepError{Step: "schema", Err: fmt.Errorf("%s: the directory has no attribute %s", a.key, a.name)}
		}
	}
	return nil
}

// inADSchema reports whether the schema of Active Directory has an attribute.
func inADSchema(ctx context.Context, c *conn.Conn, name string) (bool, error) {
	root, err := readRootDSE(ctx, c)
	if err != nil || root.schema == "" {
		return err == nil, err
	}
	bare, _, _ := strings.Cut(name, ";")
	bare = conn.Escape(bare)
	return anyOf(ctx, c, root.schema, "(&(objectClass=attributeSchema)(|(lDAPDisplayName="+bare+")(attributeID="+bare+")))")
}

// maxSamples is of how many users Connect looks at what the answer would carry.
const maxSamples = 500

// tryReplies makes the reply attributes of the first users who have any. Where the
// directory does not find them in time, for want of an index, nothing is known.
func (p *Primary) tryReplies(ctx context.Context, c *conn.Conn, d *directory) error {
	if len(d.reply) == 0 {
		return nil
	}
	var any strings.Builder
	for _, r := range d.reply {
		fmt.Fprintf(&any, "(%s=*)", r.From)
	}
	q := conn.Query{Base: p.settings.BaseDN, Filter: d.login.users("(|" + any.String() + ")"), Attributes: d.attributes, Most: maxSamples, First: true}
	found, err := c.Search(ctx, q)
	if err != nil {
		return nil
	}
	for i := range found {
		if _, err := p.reply(d, &found[i]); err != nil {
			return &conn.StepError{Step: "reply", Err: fmt.Errorf("%q: %w", conn.CutText(found[i].DN), err)}
		}
	}
	return nil
}

var (
	errHidden = errors.New("the entry is not shown")
	errNobody = errors.New("no user is found")
)

// hint says what an operator can do about a failed step.
func (p *Primary) hint(s *conn.Server, failed *conn.StepError) string {
	result := (*conn.ResultError)(nil)
	errors.As(failed.Err, &result)
	who := "bind_dn"
	if p.settings.BindDN == "" {
		who = "anonymous (bind_dn is not set)"
	}
	switch failed.Step {
	case "dns":
		return "the name of the server cannot be resolved: check url and the DNS of this machine"
	case "connect":
		return connectHint(s, failed.Err)
	case "tls":
		return p.tlsHint(s, failed.Err)
	case "bind":
		switch {
		case result == nil:
			return "the server did not answer the bind in time (connect_timeout)"
		case result.Code == conn.CodeInvalidCredentials:
			return "bind_dn or its password is wrong: with AD bind_dn may also be user@domain" + accountHint(result)
		case result.Code == conn.CodeConfidentiality || result.Code == conn.CodeStrongAuth:
			return "the server demands TLS: use ldaps:// or remove insecure_plaintext"
		}
		return "the server does not let bind_dn bind: see its log"
	case "schema":
		return "write the name as the schema of the directory has it"
	case "reply":
		return "logins of this user are rejected: change the value, or what reply makes of it"
	}
	switch {
	case errors.Is(failed.Err, errHidden), result != nil && result.Code == conn.CodeInsufficientAccess:
		return "the entry is there, or may be, but " + who + " has no right to read it: grant read access"
	case result != nil && result.Code == conn.CodeNoSuchObject:
		return "base_dn (or group_base_dn) is not in this directory, or " + who + " may not see it: compare it with namingContexts of the server"
	case result != nil && (result.Code == conn.CodeOperations || result.Code == conn.CodeStrongAuth):
		return "the directory wants a bind before a search: set bind_dn"
	case errors.Is(failed.Err, errNobody):
		return "either base_dn, filter or login_attribute names no user, or " + who + " may not read users"
	}
	return "the server did not answer a search: see its log"
}

func accountHint(r *conn.ResultError) string {
	account := (*mfa.AccountError)(nil)
	if errors.As(refusedBind(r), &account) {
		return fmt.Sprintf(" (the directory says %s)", account.Reason)
	}
	return ""
}

func connectHint(s *conn.Server, err error) string {
	host, port, _ := net.SplitHostPort(s.Address)
	if timeout := (net.Error)(nil); errors.As(err, &timeout) && timeout.Timeout() {
		return fmt.Sprintf("nothing answers: is %s right, and does a firewall let this machine reach port %s", host, port)
	}
	return fmt.Sprintf("nothing listens on port %s of %s: ldaps:// is 636, ldap:// with StartTLS is 389", port, host)
}

// tlsHint goes by the texts of crypto/x509: the LDAP library passes on no more
// than the text where it secures a connection with StartTLS.
func (p *Primary) tlsHint(s *conn.Server, err error) string {
	has := func(text string) bool { return strings.Contains(err.Error(), text) }
	switch {
	case has("deadline exceeded"):
		return "the server takes connections but does not answer: it hangs, or the port is not that of a directory"
	case has("unknown authority"):
		return "the certificate is not from an authority that is known here: put the one that issued it into ca_file"
	case has("certificate is valid for"), has("doesn't contain any IP SANs"), has("not valid for any names"), has("legacy Common Name"):
		return fmt.Sprintf("the certificate is not for %q: use the name that is in it in url, or set server_name", s.TLS.ServerName)
	case has("has expired or is not yet valid"):
		return "the certificate of the server has expired, or a clock is wrong: renew it on the server"
	case has("does not look like a TLS handshake"):
		return "the port speaks no TLS: use ldap://, which is secured with StartTLS"
	case has("protocol version"), has("no cipher suite"):
		return "the server offers nothing newer than TLS 1.1: enable TLS 1.2 on it"
	case s.StartTLS:
		return "the server does not do StartTLS on this port: give it a certificate, or use ldaps://"
	}
	return "the server ended the handshake: does it have a certificate, and is this its ldaps port"
}
