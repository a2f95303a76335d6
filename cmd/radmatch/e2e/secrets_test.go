package e2e

import (
	"encoding/base32"
	"encoding/hex"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"github.com/radmatch/radmatch/mfa"
	"github.com/radmatch/radmatch/mfa/device"
	"github.com/radmatch/radmatch/radius/wire"
)

// After a session with everything in it, at the most talkative log level, no
// secret stands in the log, in the trail, in what commands print, or in data_dir.
func TestNothingSecret(t *testing.T) {
	t.Parallel()
	p := newServer(t, siteHead+`clients:
  - {name: vpn, addresses: [127.0.0.1], secret: `+testSecret+`, override_number_matching_with_otp: true}
  - {name: old, addresses: [127.0.0.2], secret: `+testSecret+`, require_message_authenticator: no}
  - {name: numbers, addresses: [127.0.0.3], secret: `+testSecret+`, number_in_prompt: true}
  - {name: hidden, addresses: [127.0.0.4], secret: `+testSecret+`, number_from_device: true, shows_reply_message: false}
mfa: {reject_delay: 500ms}
log: {level: debug}
`)
	p.addTOTP("alice")
	p.start()
	pass, _, _ := strings.Cut(p.cli("tap", "issue", "bob"), "\n")
	ph := p.enroll("alice")
	invitation, _, _ := strings.Cut(p.cli("device", "invite", "bob"), "\n")
	_, token, _ := strings.Cut(invitation, "#")
	if len(pass) != 11 || len(token) < 20 {
		t.Fatalf("pass %q, token %q; want 11 of them, at least 20 of them", pass, token)
	}

	secrets := map[string]string{
		"password": testPassword, "wrong password": "purple-monkey-dishwasher", "shared secret": testSecret,
		"NT hash": rightHorse, "TOTP secret": string(tokenKey("alice")), "TOTP secret in base32": base32.StdEncoding.EncodeToString(tokenKey("alice")),
		"TOTP secret in hex": hex.EncodeToString(tokenKey("alice")), "pass": pass, "pass without dash": strings.ReplaceAll(pass, "-", ""), "invitation": token,
	}
	s, old, numbers, hidden := p.nasSocket("127.0.0.1"), p.nasSocket("127.0.0.2"), p.nasSocket("127.0.0.3"), p.nasSocket("127.0.0.4")
	state := func(name string, a wire.Answer) string {
		secrets["State "+name] = a.State()
		secrets["State "+name+" in hex"] = hex.EncodeToString([]byte(a.State()))
		return a.State()
	}
	secrets["right code"], secrets["wrong code"], secrets["late code"] = totp("alice", 0), "918273", totp("alice", 1)
	first := state("first", s.expect(signIn("alice", ""), wire.AccessChallenge))
	second := state("second", s.expect(answerTo("alice", first, secrets["wrong code"]), wire.AccessChallenge))
	s.expect(answerTo("alice", second, secrets["right code"]), wire.AccessAccept)
	third := state("third", s.expect(signIn("bob", ""), wire.AccessChallenge))
	s.expect(answerTo("bob", third, pass), wire.AccessAccept)
	wrong := signIn("alice", "")
	wrong.Cred = mfa.Password(secrets["wrong password"])
	s.expect(wrong, wire.AccessReject)
	s.expect(answerTo("alice", first, secrets["late code"]), wire.AccessReject)

	mschap := signIn("alice", "")
	cred, err := wire.NewMSCHAPv2("alice", testPassword)
	if err != nil {
		t.Fatal(err)
	}
	mschap.Cred = cred
	secrets["NT-Response"], secrets["NT-Response in hex"] = string(cred.NTResponse[:]), hex.EncodeToString(cred.NTResponse[:])
	r := old.start(mschap)
	ph.approve()
	old.gets(r, wire.AccessAccept)
	old.expect(wire.Query{Code: wire.AccessRequest, User: "alice\x1b[31m\nroot", Cred: mfa.Password(testPassword)}, wire.AccessReject)
	fourth := numbers.expect(signIn("alice", "192.0.2.1"), wire.AccessChallenge)
	number := regexp.MustCompile(`Type (\d\d) `).FindStringSubmatch(fourth.Message())
	if number == nil {
		t.Fatalf("%q shows no number", fourth.Message())
	}
	ph.decide(ph.prompt(), device.ActionApprove, number[1])
	numbers.expect(answerTo("alice", state("fourth", fourth), "ok"), wire.AccessAccept)
	fifth := hidden.expect(signIn("alice", "192.0.2.1"), wire.AccessChallenge)
	told, err := ph.Decide(t.Context(), ph.prompt(), device.ActionApprove, "")
	if err != nil || len(told.Code) != 6 {
		t.Fatalf("%+v: got %v; want no error, 6 Code", told, err)
	}
	secrets["device's code"] = told.Code
	hidden.expect(answerTo("alice", state("fifth", fifth), told.Code), wire.AccessAccept)
	other := dialNAS(t, "127.0.0.2", p.radius[0], "another-secret-of-32-octets-4711")
	other.send(other.build(signIn("alice", "")).unsigned())
	p.awaitEvent("alice", "reject unsupported_credential", 1)
	p.signal(syscall.SIGHUP)
	p.await("server.log", `"msg":"reloaded"`)
	p.stop()

	said := map[string]string{"server.log": p.log()}
	for _, line := range []string{
		"events", "events --json", "clients", "clients --json", "user show alice", "user show bob", "totp list", "device list", "check", "explain alice",
	} {
		said["radmatch "+line] = p.cli(strings.Fields(line)...)
	}
	files, err := filepath.Glob(p.path("data/*"))
	if err != nil || len(files) < 3 {
		t.Fatalf("files %v: got %v; want no error, at least 3 of them", files, err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		said[filepath.Base(file)] = string(text)
	}
	for where, text := range said {
		for what, secret := range secrets {
			found := strings.Contains(text, secret)
			if strings.HasSuffix(what, " code") { // six digits can stand in any longer number
				found = regexp.MustCompile(`\b` + secret + `\b`).MatchString(text)
			}
			if found {
				t.Errorf("%s has the %s:\n%q", where, what, text)
			}
		}
		if strings.Contains(text, "\x1b") && !strings.HasPrefix(where, "radmatch.db") && where != "seal.key" {
			t.Errorf("%s has a control character of a user's name", where)
		}
	}
}
