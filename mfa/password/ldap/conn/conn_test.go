package conn

import (
	"context"
	"fmt"
	"io"
	"testing"
)

func TestIsRefusedAccount(t *testing.T) {
	bind := func(err error) error { return &StepError{Step: "bind", Err: fmt.Errorf("as %q: %w", "cn=reader", err)} }
	for _, tt := range []struct {
		err  error
		want bool
	}{
		{bind(&ResultError{Code: CodeInvalidCredentials, Policy: -1}), true},
		{bind(&ResultError{Code: CodeConstraintViolation, Policy: -1}), true},
		{bind(&ResultError{Policy: 1}), true},
		{bind(&ResultError{Code: CodeBusy, Policy: -1}), false},
		{bind(&ResultError{Code: CodeUnavailable, Policy: -1}), false},
		{bind(&ResultError{Code: CodeOperations, Policy: -1}), false},
		{bind(&LostError{TimedOut: true, Err: context.DeadlineExceeded}), false},
		{bind(&LostError{Err: io.EOF}), false},
		{&StepError{Step: "connect", Err: io.EOF}, false},
		{&ResultError{Code: CodeInvalidCredentials, Policy: -1}, false},
	} {
		if got := IsRefusedAccount(tt.err); got != tt.want {
			t.Errorf("%v: got %t", tt.err, got)
		}
	}
}

func TestDNSDomainOf(t *testing.T) {
	for _, c := range []struct{ dn, want string }{
		{"CN=alice,CN=Users,DC=ad,DC=example,DC=org", "ad.example.org"},
		{"cn=alice,dc=example,dc=org", "example.org"},
		{"DC=example,DC=org", "example.org"},
		{`CN=Liddell\, Alice,OU=Staff,DC=example,DC=org`, "example.org"},
		{`CN=x\,DC=ad,DC=example,DC=org`, "example.org"}, // the name is "x,DC=ad"
		{`CN=x\2CDC=ad,DC=example,DC=org`, "example.org"},
		{`CN=x,DC=a+CN=b,DC=org`, ""},
		{"uid=alice,ou=people,o=example", ""},
		{"not a name", ""},
		{"", ""},
	} {
		if got := DNSDomainOf(c.dn); got != c.want {
			t.Errorf("%s: got %q, want %q", c.dn, got, c.want)
		}
	}
}
