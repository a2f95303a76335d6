package main

import (
	"context"
	"crypto/sha1"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"runtime/debug"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/radmatch/radmatch/mfa"
	"github.com/radmatch/radmatch/mfa/password/ldap"
	"github.com/radmatch/radmatch/mfa/password/passwordtest"
)

const (
	ldapUsers = 5000
	ldapRun   = 2 * time.Second
	// ldapLeast is how much of what the directory allows the primary must reach.
	ldapLeast = 0.8
)

// ldap is `make bench-ldap`: password checks a second of the LDAP primary beside
// the bare client on the same OpenLDAP server, over LDAPS, in pairs of runs with
// the same number of checks at once. Users are many, so that no check is spared
// because the same one runs. A login with `groups: search` costs a search that the
// bare client does not make: there it runs beside one that makes it, too, so that
// the figures tell what is the directory's and what is ours.
func (b *bench) ldap(ctx context.Context) error {
	debug.SetGCPercent(400) // as serve does
	dir, err := os.MkdirTemp(b.parent, "radbench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	slapd, err := passwordtest.NewSlapd(dir)
	if err != nil {
		return err
	}
	defer slapd.Close()
	b.note("adding %d users to OpenLDAP", ldapUsers)
	if err := slapd.Add(usersLDIF()); err != nil {
		return err
	}
	for _, at := range []int{16, 64} {
		bare, grouped, err := bareChecks(slapd, at)
		if err != nil {
			return err
		}
		for _, run := range []ldapPairing{{"none", "search and bind", bare}, {"member_of", "search and bind", bare},
			{"search", "search and bind", bare}, {"search", "and groups", grouped}} {
			ratio, err := b.ldapPairs(ctx, slapd, at, run)
			if err != nil {
				return err
			}
			if asMuch := run.groups != "search" || run.what != "search and bind"; ratio < ldapLeast && asMuch {
				b.failures = append(b.failures, fmt.Sprintf("groups: %s with %d at once: %.2f", run.groups, at, ratio))
			}
		}
	}
	if len(b.failures) > 0 {
		return fmt.Errorf("less than %.1f of what the directory allows: %v", ldapLeast, b.failures)
	}
	return nil
}

// checker checks the password of one user; each worker has its own.
type checker func(user string) error

// ldapPairing is the primary with a setting of `groups`, and who runs beside it.
type ldapPairing struct {
	groups string
	what   string // the bare clients do
	bare   []checker
}

// ldapPairs runs both in turn and prints the medians.
func (b *bench) ldapPairs(ctx context.Context, slapd *passwordtest.Slapd, at int, with ldapPairing) (float64, error) {
	l, err := openLDAP(slapd, at, with.groups)
	if err != nil {
		return 0, err
	}
	defer l.Close()
	ours := make([]checker, at)
	for i := range ours {
		ours[i] = func(user string) error {
			_, err := l.Check(ctx, mfa.NameOf(user), mfa.Password(benchPassword))
			return err
		}
	}
	var rates [2][]float64
	var ratios []float64
	for range b.pairs {
		for i, checkers := range [][]checker{with.bare, ours} {
			rate, err := measure(checkers)
			if err != nil {
				return 0, err
			}
			rates[i] = append(rates[i], rate)
		}
		last := len(ratios)
		ratios = append(ratios, rates[1][last]/rates[0][last])
	}
	b.note("groups: %-9s  %3d at once: bare client (%s) %6.0f/s, radmatch %6.0f/s, ratio %.2f (median of %d pairs)",
		with.groups, at, with.what, median(rates[0]), median(rates[1]), median(ratios), b.pairs)
	return median(ratios), nil
}

// measure lets every checker work for a time and returns the checks a second.
func measure(checkers []checker) (float64, error) {
	var next, done atomic.Int64
	errs := make([]error, len(checkers))
	begun := time.Now()
	var wg sync.WaitGroup
	for i, check := range checkers {
		wg.Go(func() {
			for time.Since(begun) < ldapRun {
				if errs[i] = check(userName(int(next.Add(1) % ldapUsers))); errs[i] != nil {
					return
				}
				done.Add(1)
			}
		})
	}
	wg.Wait()
	return float64(done.Load()) / time.Since(begun).Seconds(), errors.Join(errs...)
}

// bareChecks are bare clients with two connections each, which search and bind,
// and the same ones when they search for the groups of the user, too.
func bareChecks(slapd *passwordtest.Slapd, n int) (plain, grouped []checker, err error) {
	pem, err := os.ReadFile(slapd.CA)
	if err != nil {
		return nil, nil, err
	}
	config := &tls.Config{RootCAs: x509.NewCertPool(), ServerName: "127.0.0.1"}
	config.RootCAs.AppendCertsFromPEM(pem)
	address := strings.TrimPrefix(slapd.TLS, "ldaps://")
	for range n {
		searching, err := dialBare(address, config)
		if err != nil {
			return nil, nil, err
		}
		binding, err := dialBare(address, config)
		if err != nil {
			return nil, nil, err
		}
		if err := searching.bind("cn=reader,"+passwordtest.SlapdBase, "reader secret"); err != nil {
			return nil, nil, err
		}
		check := func(user string) (dn string, err error) {
			dn, err = searching.search(passwordtest.SlapdBase, equals("uid", user), "uid")
			if err != nil || dn == "" {
				return "", fmt.Errorf("search of %s: %q, %w", user, dn, err)
			}
			return dn, binding.bind(dn, benchPassword)
		}
		plain = append(plain, func(user string) error {
			_, err := check(user)
			return err
		})
		grouped = append(grouped, func(user string) error {
			dn, err := check(user)
			if err != nil {
				return err
			}
			member := either(equals("member", dn), equals("uniqueMember", dn), equals("memberUid", user))
			if dn, err = searching.search("ou=groups,"+passwordtest.SlapdBase, member, "cn"); err == nil && dn == "" {
				err = fmt.Errorf("no group of %s", user)
			}
			return err
		})
	}
	return plain, grouped, nil
}

func openLDAP(slapd *passwordtest.Slapd, connections int, groups string) (*ldap.Primary, error) {
	return ldap.Open(&ldap.Settings{
		URL: slapd.TLS, CAFile: slapd.CA, BaseDN: passwordtest.SlapdBase, Flavor: "auto",
		BindDN: "cn=reader," + passwordtest.SlapdBase, BindPassword: "reader secret",
		Groups: groups, GroupBaseDN: "ou=groups," + passwordtest.SlapdBase, NestedGroups: true,
		ConnectTimeout: 3 * time.Second, Timeout: 5 * time.Second, DeadTime: 30 * time.Second,
		Connections: connections, Waiting: 1000,
	}, ldap.Parts{
		Resolve: func(path string) string { return path }, Logger: zap.NewNop(),
		CheckReply: func([]mfa.Attribute) error { return nil },
	})
}

// usersLDIF is LDIF of users, each in one of 50 groups, with {SSHA} passwords.
func usersLDIF() string {
	sum := sha1.Sum([]byte(benchPassword + "salt"))
	hash := "{SSHA}" + base64.StdEncoding.EncodeToString(append(sum[:], "salt"...))
	var b strings.Builder
	for i := range ldapUsers {
		fmt.Fprintf(&b, "dn: uid=%s,ou=users,%s\nobjectClass: inetOrgPerson\ncn: %[1]s\nsn: x\nuid: %[1]s\nuserPassword: %[3]s\n\n",
			userName(i), passwordtest.SlapdBase, hash)
	}
	for g := range 50 {
		fmt.Fprintf(&b, "dn: cn=group%d,ou=groups,%s\nobjectClass: groupOfNames\ncn: group%[1]d\n", g, passwordtest.SlapdBase)
		for i := g; i < ldapUsers; i += 50 {
			fmt.Fprintf(&b, "member: uid=%s,ou=users,%s\n", userName(i), passwordtest.SlapdBase)
		}
		b.WriteString("\n")
	}
	return b.String()
}
