package e2e

import (
	"encoding/base64"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/radmatch/radmatch/mfa"
	"github.com/radmatch/radmatch/mfa/password/passwordtest"
	"github.com/radmatch/radmatch/radius/wire"
)

// The users of spellingSite, as their methods and blocks were registered. The directory
// spells the first two otherwise.
const (
	spelledToken   = "Jörg Lind" // has a TOTP token
	spelledBlocked = "straße"    // is blocked
	spelledDevice  = "alice"     // has a device
)

// hostileForms are names that no directory of ours has, near one that it has.
var hostileForms = []string{
	"%s\x00", "\x00%s", "%s\xff", "%s.", "%s@", "@%s", `\%s`, `%s\`, "example/%s", `example\\%s`, `example＼%s`, `example\example\%s`, "%s＠example.org",
	"%s@example.org.", "%s@example.org@example.org", `example\%s@example.org`, `other\%s`, "%s@other.org", "%s*", "*%s", "%s)(uid=*", "uid=%s", `"%s"`, "%s\u0301\u0302", "%s\u202e",
}

// spellingSite has a directory that takes many spellings of a name for equal, and
// lets in anyone who has no method.
func spellingSite(t *testing.T) (*serverProcess, *passwordtest.Slapd) {
	t.Helper()
	s := startSlapd(t)
	var ldif strings.Builder
	for i, name := range []string{"Jo\u0308rg\u00a0 Lind ", "\uff33tra\u00dfe "} {
		fmt.Fprintf(&ldif, "dn: cn=no name %d,ou=users,%s\nobjectClass: inetOrgPerson\nsn: Example\nuid:: %s\nuserPassword: %s\n\n",
			i, passwordtest.SlapdBase, base64.StdEncoding.EncodeToString([]byte(name)), testPassword)
	}
	if err := s.Add(ldif.String()); err != nil {
		t.Fatal(err)
	}
	p := newServer(t, fmt.Sprintf(`listen: {radius: ["127.0.0.1:0"], web: "127.0.0.1:0"}
data_dir: data
primaries:
  - {name: directory, type: ldap, url: %s, ca_file: %s, bind_dn: "cn=reader,dc=example,dc=org", bind_password: reader secret, base_dn: "dc=example,dc=org",
     default_domain: EXAMPLE, domains: [example.org], groups: none}
clients:
  - {name: vpn, addresses: [127.0.0.1], secret: %s}
  - {name: remembers, addresses: [127.0.0.2], secret: %[3]s, remember: 1h}
mfa: {reject_delay: 500ms, require_user_match: false}
`, s.TLS, s.CA, testSecret))
	p.addTOTP(spelledToken)
	p.cli("user", "block", "--literal", spelledBlocked)
	p.start()
	return p, s
}

// spelled are the spellings of a name that the directory itself takes for the one
// account's, with its domains, and those that it does not.
func spelled(t *testing.T, s *passwordtest.Slapd, name string, n int) (own, others []string) {
	t.Helper()
	bare := passwordtest.Spellings(name, n)
	list := passwordtest.Owners(t, "uid", bare, "-H", s.Plain, "-D", passwordtest.SlapdAdmin, "-w", passwordtest.SlapdAdminPassword, "-b", passwordtest.SlapdBase)
	for i, dns := range list {
		typed := fmt.Sprintf([]string{"%s", `example\%s`, "%s@Example.ORG"}[i%3], bare[i])
		if len(dns) == 1 && dns[0] == list[0][0] {
			own = append(own, typed)
		} else {
			others = append(others, typed)
		}
	}
	t.Logf("%d spellings of %q that the directory takes, %d others", len(own), name, len(others))
	if len(own) < 20 || len(others) < 5 {
		t.Fatalf("too few: got %q, %q; want at least 20 of them, at least 5 of them", own, others)
	}
	return own, others
}

// TestSpellingsFindTheUser: by whatever spelling someone signs in that the directory
// takes for the account's, the second factor is asked for and the block holds, though
// anyone who has neither is let in.
func TestSpellingsFindTheUser(t *testing.T) {
	t.Parallel()
	p, slapd := spellingSite(t)
	p.nasSocket("127.0.0.1").expect(signIn("bob", ""), wire.AccessAccept) // has neither
	for name, want := range map[string]wire.Code{spelledToken: wire.AccessChallenge, spelledBlocked: wire.AccessReject} {
		own, others := spelled(t, slapd, name, 60)
		own = append(own, name+"\t", name+"\r\n") // blanks around a name are no part of it
		for _, form := range hostileForms {
			others = append(others, fmt.Sprintf(form, name))
		}
		others = append(others, "\u00ad", "\u200b\u00a0", "example\\\u00ad", strings.Repeat("x", 253))
		typed, s := slices.Concat(own, others), p.nasSocket("127.0.0.1")
		var sent []request
		check := func(i int, want wire.Code) {
			if a, _ := s.answer(sent[i]); a.Code != want {
				t.Errorf("%q gets %s, want %s", typed[i], a.Code, want)
			}
		}
		for i, user := range typed { // each from elsewhere: a refusal slows the next one of its origin
			sent = append(sent, s.start(signIn(user, fmt.Sprintf("198.51.100.%d", i))))
			if i < len(own) && want == wire.AccessChallenge {
				check(i, want) // before the next one: of several dialogs the oldest gives way
			}
		}
		for i := range sent {
			switch {
			case i >= len(own):
				check(i, wire.AccessReject) // is no user
			case want == wire.AccessReject:
				check(i, want)
			}
		}
		if blocked := p.counts(name)["reject user_blocked"]; name == spelledBlocked && blocked != len(own) {
			t.Errorf("%d of %d are refused because the user is blocked", blocked, len(own))
		}
	}
	p.stop()
}

// TestSpellingsShareCodes: a code that was used is used for each spelling, wrong codes
// by ten spellings lock the codes for all, and all of it stands in one trail.
func TestSpellingsShareCodes(t *testing.T) {
	t.Parallel()
	p, slapd := spellingSite(t)
	own, _ := spelled(t, slapd, spelledToken, 60)
	s := p.nasSocket("127.0.0.1")
	step := time.Now().Unix() / 30
	code := passcode(tokenKey(spelledToken), step)
	login := func(i int, code string) wire.Answer {
		t.Helper()
		from := fmt.Sprintf("198.51.100.%d", i)
		a := s.expect(signIn(own[i], from), wire.AccessChallenge)
		return s.ask(answerTo(own[i], a.State(), code))
	}
	if a := login(0, code); a.Code != wire.AccessAccept {
		t.Fatalf("the right code gets: got %s; want %s", a.Code, wire.AccessAccept)
	}
	const wrong = 9 // and the used one
	if a := login(1, code); a.Code == wire.AccessAccept {
		t.Errorf("%q gets in by the code that %q has used", own[1], own[0])
	}
	for i := range wrong {
		if a := login(2+i, "000000"); a.Code == wire.AccessAccept {
			t.Fatal("got an Access-Accept for a wrong code; want none")
		}
	}
	next := passcode(tokenKey(spelledToken), step+1)
	for i := 2 + wrong; i < 2+wrong+3; i++ {
		a := s.ask(signIn(own[i], fmt.Sprintf("198.51.100.%d", i)))
		if a.Code == wire.AccessChallenge {
			a = s.ask(answerTo(own[i], a.State(), next))
		}
		if a.Code != wire.AccessReject {
			t.Errorf("%q gets %s after ten wrong codes by other spellings; want Code wire.AccessReject", own[i], a.Code)
		}
	}
	if n := p.counts(spelledToken); n["accept default_otp"] != 1 || n["reject codes_locked"] != 4 {
		t.Errorf("the trail of the user: got %v; want 1 accept default_otp, 4 reject codes_locked", n)
	}
	p.stop()
}

// TestSpellingsShareTries: wrong passwords by five spellings slow down as five of one do,
// and stand in one trail; one of them ends an approval that is remembered, which until
// then holds for each spelling.
func TestSpellingsShareTries(t *testing.T) {
	t.Parallel()
	p, slapd := spellingSite(t)
	own, _ := spelled(t, slapd, spelledDevice, 60)
	phone := p.enroll(spelledDevice)
	s := p.nasSocket("127.0.0.2")
	const nasSocket = "198.51.100.7"
	first := s.start(signIn(own[1], nasSocket))
	phone.approve()
	s.gets(first, wire.AccessAccept)
	for _, user := range own[2:12] {
		s.expect(signIn(user, nasSocket), wire.AccessAccept) // no prompt is answered
	}
	var took time.Duration
	for i, user := range own[12:17] {
		q := signIn(user, "198.51.100.8")
		q.Cred = mfa.Password(fmt.Sprint("wrong ", i))
		began := time.Now()
		s.expect(q, wire.AccessReject)
		took = time.Since(began)
	}
	if least := 4 * time.Second; took < least {
		t.Errorf("the fifth wrong password is rejected after %s, want at least %s", took, least)
	}
	again := s.start(signIn(own[17], nasSocket))
	phone.approve()
	s.gets(again, wire.AccessAccept)
	if n := p.counts(spelledDevice); n["reject wrong_password"] != 5 || n["accept remembered"] != 10 || n["accept approve_deny"] != 2 {
		t.Errorf("the trail of the user: got %v; want 5 reject wrong_password, 10 accept remembered, 2 accept approve_deny", n)
	}
	p.stop()
}
