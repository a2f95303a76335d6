// Package passwordtest checks an implementation of mfa.PasswordChecker against
// the comment of that interface, line by line.
package passwordtest

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"

	"layeh.com/radius/rfc2759"

	"github.com/radmatch/radmatch/mfa"
)

// Subject is a checker and what it knows.
type Subject struct {
	Checker mfa.PasswordChecker

	User, Password string
	Want           mfa.Identity // of User, without MSCHAP
	Aliases        []string     // other spellings of User that mean the same user
	Unknown        string       // a name that nobody has

	// MSCHAPv2 says that User's responses can be examined, NoMSCHAPv2 names a
	// user whose responses cannot (empty: there is none).
	MSCHAPv2   bool
	NoMSCHAPv2 string

	// Disabled is a user who is disabled; empty: the checker has none.
	Disabled, DisabledPassword string
}

// Run checks the contract. open is called once for each part.
func Run(t *testing.T, open func(t *testing.T) Subject) {
	for name, part := range map[string]func(*testing.T, Subject){
		"right":       right,
		"rejected":    rejected,
		"unsupported": unsupported,
		"mschapv2":    mschapv2,
		"disabled":    disabled,
		"ctx":         endedContext,
		"concurrent":  concurrent,
		"abilities":   abilities,
	} {
		t.Run(name, func(t *testing.T) { part(t, open(t)) })
	}
}

// abilities checks that the checker tells what it has, and has what it tells.
func abilities(t *testing.T, s Subject) {
	can := s.Checker.Abilities()
	has := func(what string, told, is bool) {
		if told != is {
			t.Errorf("%s: it tells %t, and is one: %t", what, told, is)
		}
	}
	_, is := s.Checker.(mfa.IdentityFinder)
	has("IdentityFinder", can.Finder != nil, is)
	_, is = s.Checker.(mfa.PrimaryContinuer)
	has("PrimaryContinuer", can.Continuer != nil, is)
	_, is = s.Checker.(mfa.Forwarder)
	has("Forwarder", can.Forwarder != nil, is)
	_, is = s.Checker.(mfa.Namer)
	has("Namer", can.Namer != nil, is)
	if _, is = s.Checker.(mfa.Connector); can.TriedAtStart && !is {
		t.Error("a start may try it, and it is no Connector")
	}
	if (can.Knows == nil) != (can.Names == nil) {
		t.Error("Knows and Names: one without the other")
	}
	if can.Knows != nil && (!can.Knows(s.Want.Name) || can.Knows(mfa.NameOf(s.Unknown))) {
		t.Error("Knows is true of another name than the user's; want it only of the user's")
	}
}

func right(t *testing.T, s Subject) {
	for _, name := range append([]string{s.User}, s.Aliases...) {
		id, err := s.Checker.Check(t.Context(), mfa.NameOf(name), mfa.Password(s.Password))
		if err != nil {
			t.Errorf("%q, right password: got error %v; want none", name, err)
			continue
		}
		if !reflect.DeepEqual(spelled(id), s.Want) {
			t.Errorf("%q: identity\n got %+v\nwant %+v", name, id, s.Want)
		}
		if id.Name.String() == "" || !id.Known {
			t.Errorf("%q: a right password must give a name and Known; got %+v", name, id)
		}
	}
}

func rejected(t *testing.T, s Subject) {
	for _, c := range []struct{ name, user, password string }{
		{"wrong", s.User, s.Password + "x"},
		{"cut", s.User, s.Password[:len(s.Password)-1]},
		{"other case", s.User, swapCase(s.Password)},
		{"followed by NUL", s.User, s.Password + "\x00"},
		{"not UTF-8", s.User, s.Password + "\xff"},
		{"empty", s.User, ""},
		{"long", s.User, strings.Repeat(s.Password, 1000)},
		{"unknown user", s.Unknown, s.Password},
		{"unknown user, empty", s.Unknown, ""},
		{"no user", "", s.Password},
	} {
		id, err := s.Checker.Check(t.Context(), mfa.NameOf(c.user), mfa.Password(c.password))
		denied(t, c.name, id, err, mfa.ErrRejected, mfa.ErrUnsupported)
		if err != nil && strings.Contains(err.Error(), s.Password) {
			t.Errorf("%s: the error holds the password", c.name)
		}
	}
}

func unsupported(t *testing.T, s Subject) {
	id, err := s.Checker.Check(t.Context(), mfa.NameOf(s.User), mfa.Unsupported{What: "CHAP"})
	denied(t, "CHAP", id, err, mfa.ErrUnsupported, mfa.ErrRejected)
	id, err = s.Checker.Check(t.Context(), mfa.NameOf(s.User), nil)
	denied(t, "nil", id, err, mfa.ErrUnsupported, mfa.ErrRejected)
}

func mschapv2(t *testing.T, s Subject) {
	check := func(user string, c mfa.MSCHAPv2) (mfa.Identity, error) {
		return s.Checker.Check(t.Context(), mfa.NameOf(user), c)
	}
	if s.NoMSCHAPv2 != "" {
		id, err := check(s.NoMSCHAPv2, Response(t, s.NoMSCHAPv2, s.Password))
		denied(t, "no hash to examine it with", id, err, mfa.ErrUnsupported, mfa.ErrRejected)
	}
	if !s.MSCHAPv2 {
		id, err := check(s.User, Response(t, s.User, s.Password))
		denied(t, "MS-CHAPv2", id, err, mfa.ErrUnsupported, mfa.ErrRejected)
		return
	}
	good := Response(t, s.User, s.Password)
	id, err := check(s.User, good)
	if err != nil {
		t.Fatalf("right response: got error %v; want none", err)
	}
	keys(t, s, good, id.MSCHAP)
	id.MSCHAP = nil
	if !reflect.DeepEqual(spelled(id), s.Want) {
		t.Errorf("identity\n got %+v\nwant %+v", id, s.Want)
	}
	mschapv2Rejected(t, s, check)
}

// keys wants what the answer to a right response is computed from, or the proof
// that another server has computed.
func keys(t *testing.T, s Subject, c mfa.MSCHAPv2, got *mfa.MSCHAPKeys) {
	t.Helper()
	want := Keys(s.User, s.Password)
	if got != nil && got.Success != "" {
		success, err := rfc2759.GenerateAuthenticatorResponse(c.AuthChallenge[:], c.PeerChallenge[:], c.NTResponse[:], []byte(s.User), []byte(s.Password))
		if err != nil {
			t.Fatal(err)
		}
		want = mfa.MSCHAPKeys{Success: success, SendKey: got.SendKey, RecvKey: got.RecvKey}
	}
	if got == nil || *got != want {
		t.Error("got other keys for a right response; want those of the password")
	}
}

func mschapv2Rejected(t *testing.T, s Subject, check func(string, mfa.MSCHAPv2) (mfa.Identity, error)) {
	good := Response(t, s.User, s.Password)
	for _, c := range []struct {
		name, user string
		change     func(*mfa.MSCHAPv2)
	}{
		{"other challenge", s.User, func(c *mfa.MSCHAPv2) { c.AuthChallenge[0] ^= 1 }},
		{"other peer challenge", s.User, func(c *mfa.MSCHAPv2) { c.PeerChallenge[15] ^= 1 }},
		{"first octet", s.User, func(c *mfa.MSCHAPv2) { c.NTResponse[0] ^= 1 }},
		{"last octet", s.User, func(c *mfa.MSCHAPv2) { c.NTResponse[23] ^= 0x80 }},
		{"zero", s.User, func(c *mfa.MSCHAPv2) { c.NTResponse = [24]byte{} }},
		{"wrong password", s.User, func(c *mfa.MSCHAPv2) { *c = Response(t, s.User, s.Password+"x") }},
		{"empty password", s.User, func(c *mfa.MSCHAPv2) { *c = Response(t, s.User, "") }},
		{"computed for another name", s.User, func(c *mfa.MSCHAPv2) { *c = Response(t, s.Unknown, s.Password) }},
		{"unknown user", s.Unknown, func(c *mfa.MSCHAPv2) { *c = Response(t, s.Unknown, s.Password) }},
	} {
		bad := good
		c.change(&bad)
		id, err := check(c.user, bad)
		denied(t, c.name, id, err, mfa.ErrRejected, mfa.ErrUnsupported)
	}
}

func disabled(t *testing.T, s Subject) {
	if s.Disabled == "" {
		t.Skip("the checker has no disabled users")
	}
	id, err := s.Checker.Check(t.Context(), mfa.NameOf(s.Disabled), mfa.Password(s.DisabledPassword))
	if err != nil || !id.Disabled || !id.Known {
		t.Errorf("right password: got %+v, %v; want Disabled", id, err)
	}
	id, err = s.Checker.Check(t.Context(), mfa.NameOf(s.Disabled), mfa.Password(s.DisabledPassword+"x"))
	denied(t, "wrong password of a disabled user", id, err, mfa.ErrRejected, mfa.ErrUnsupported)
}

func endedContext(t *testing.T, s Subject) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	id, err := s.Checker.Check(ctx, mfa.NameOf(s.User), mfa.Password(s.Password))
	denied(t, "ended context", id, err, context.Canceled, mfa.ErrRejected)
}

// concurrent checks right and wrong passwords side by side: none may get
// another's answer, and an Identity that was returned stays as it was.
func concurrent(t *testing.T, s Subject) {
	first, err := s.Checker.Check(t.Context(), mfa.NameOf(s.User), mfa.Password(s.Password))
	if err != nil {
		t.Fatal(err)
	}
	kept := first
	kept.Groups, kept.Attributes = slices.Clone(first.Groups), slices.Clone(first.Attributes)
	var wg sync.WaitGroup
	for i := range 16 {
		wg.Go(func() {
			password := s.Password
			if i%2 == 1 {
				password = fmt.Sprint(s.Password, i)
			}
			_, err := s.Checker.Check(t.Context(), mfa.NameOf(s.User), mfa.Password(password))
			if i%2 == 0 && err != nil || i%2 == 1 && !errors.Is(err, mfa.ErrRejected) {
				t.Errorf("check %d: %v", i, err)
			}
		})
	}
	wg.Wait()
	if !reflect.DeepEqual(first, kept) {
		t.Errorf("an identity changed after it was returned: %+v, was %+v", first, kept)
	}
}

// denied wants an error that is want and is not, and no trace of an identity.
func denied(t *testing.T, what string, id mfa.Identity, err, want, not error) {
	t.Helper()
	if !errors.Is(err, want) || errors.Is(err, not) {
		t.Errorf("%s: got error %v, want %v", what, err, want)
	}
	if !reflect.DeepEqual(id, mfa.Identity{}) {
		t.Errorf("%s: an identity came with the error", what)
	}
}

// Keys are what the answer to a right response of user is computed from.
func Keys(user, password string) mfa.MSCHAPKeys {
	utf16, _ := rfc2759.ToUTF16([]byte(password))
	return mfa.MSCHAPKeys{NTHashHash: [16]byte(rfc2759.NTPasswordHash(rfc2759.NTPasswordHash(utf16))), Name: user}
}

// Response is what a client computes for user and password, with new challenges.
func Response(t *testing.T, user, password string) mfa.MSCHAPv2 {
	t.Helper()
	c := mfa.MSCHAPv2{Ident: 7}
	rand.Read(c.AuthChallenge[:])
	rand.Read(c.PeerChallenge[:])
	nt, err := rfc2759.GenerateNTResponse(c.AuthChallenge[:], c.PeerChallenge[:], []byte(user), []byte(password))
	if err != nil {
		t.Fatal(err)
	}
	c.NTResponse = [24]byte(nt)
	return c
}

func swapCase(s string) string {
	if l := strings.ToLower(s); l != s {
		return l
	}
	return strings.ToUpper(s)
}

// spelled is an identity whose groups are known only by their names: where a
// directory has them is its own matter.
func spelled(id mfa.Identity) mfa.Identity {
	var groups []mfa.Group
	for _, g := range id.Groups {
		groups = append(groups, mfa.GroupOf(g.String()))
	}
	id.Groups = groups
	return id
}
