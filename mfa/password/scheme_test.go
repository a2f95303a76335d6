package password

import (
	"strings"
	"testing"
)

// Hashes that other programs made.
var otherHashes = []struct{ name, hash, password string }{
	{"argon2id", "$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4", "password"}, // the reference's test.c
	{"argon2id p=2", "$argon2id$v=19$m=256,t=2,p=2$c29tZXNhbHQ$bQk8UB/VmZZF4Oo79iDXuL5/0ttZwg2f/5U52iv1cDc", "password"},
	{"bcrypt 2b", testBcrypt, testPassword},
	{"bcrypt 2y", strings.Replace(testBcrypt, "$2b$", "$2y$", 1), testPassword},
	{"bcrypt 2a", strings.Replace(testBcrypt, "$2b$", "$2a$", 1), testPassword},
	{"crypt", testCrypt, testPassword},
	{"crypt rounds", "$6$rounds=1000$saltsaltsaltsalt$xQa9kHgn4/p2AV14tbYVP.qkcCZj96KE8imcSA9VSpA1Dd.kdTnTNAPFRQkTjB/1iUgkQidvj5HrlhGXLKsvT0", testPassword},
	{"SSHA512", testSSHA512, testPassword},
	{"NT", testNT, testPassword},
	{"NT upper case", "{NT}" + strings.ToUpper(testNT[4:]), testPassword},
	{"NT beyond the BMP", "{NT}a395e2e215e896a8ec4b1657b229f081", "pässwörd😀"},
}

func TestOtherHashes(t *testing.T) {
	for _, c := range otherHashes {
		h, err := parseHash(c.hash)
		if err != nil {
			t.Errorf("%s: got error %v; want none", c.name, err)
			continue
		}
		if !h.match(c.password) {
			t.Errorf("%s: the right password does not match", c.name)
		}
		for _, wrong := range []string{"", "x", c.password + "x", c.password[1:], strings.ToUpper(c.password), c.password + "\x00"} {
			if h.match(wrong) {
				t.Errorf("%s: %q matches", c.name, wrong)
			}
		}
	}
}

func TestNTRefusesWhatIsNotUTF8(t *testing.T) {
	if _, ok := NTOf("a\xffb"); ok {
		t.Error("got a hash of a password that is not UTF-8; want none")
	}
	if (NT{}).match("a\xffb") {
		t.Error("the zero hash matches what cannot be hashed")
	}
}

func TestOwnHashes(t *testing.T) {
	for _, c := range []struct {
		name      string
		make      func(string) (string, error)
		passwords []string
	}{
		{"argon2id", Hash, []string{"x", "pässwörd😀", strings.Repeat("0123456789", 25)}},
		{"bcrypt", BcryptHash, []string{strings.Repeat("0123456789", 7)}}, // slow
		{"nt", NTHash, []string{"x", "pässwörd😀", strings.Repeat("0123456789", 25)}},
	} {
		for _, password := range c.passwords {
			s, err := c.make(password)
			if err != nil {
				t.Fatalf("%s: got error %v; want none", c.name, err)
			}
			h, err := parseHash(s)
			if err != nil || !h.match(password) || h.match("0"+password) {
				t.Errorf("%s of %q does not hold: %v", c.name, password, err)
			}
		}
		for _, bad := range []string{"", strings.Repeat("x", MaxPassword+1)} {
			if s, err := c.make(bad); err == nil {
				t.Errorf("%s of %d octets: got %s; want an error", c.name, len(bad), s)
			}
		}
	}
}

func TestBadHashes(t *testing.T) {
	key := "nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4"
	for _, c := range []struct{ hash, want string }{
		{"hunter2", "plain password"},
		{"hunter2$", "plain password"},
		{"{SHA}0123", "must be of the scheme"},
		{"{CLEARTEXT}hunter2", "must be of the scheme"},
		{"$1$salt$xxxxxxxxxxxxxxxxxxxxxx", "must be of the scheme"},
		{"$argon2i$v=19$m=256,t=2,p=1$c29tZXNhbHQ$" + key, "must be of the scheme"},
		{"$argon2id$v=16$m=256,t=2,p=1$c29tZXNhbHQ$" + key, "must have the form"},
		{"$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$", "must have the form"},
		{"$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$YWJj", "a key of 16"},
		{"$argon2id$v=19$m=256,t=2,p=1$YQ$" + key, "a salt of 4"},
		{"$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$" + key[:42], "base64"},
		{"$argon2id$v=19$m=262145,t=2,p=1$c29tZXNhbHQ$" + key, "at most m=262144"},
		{"$argon2id$v=19$m=256,t=17,p=1$c29tZXNhbHQ$" + key, "at most m=262144"},
		{"$argon2id$v=19$m=256,t=0,p=1$c29tZXNhbHQ$" + key, "at least"},
		{"$argon2id$v=19$m=256,t=2,p=0$c29tZXNhbHQ$" + key, "at least"},
		{"$argon2id$v=19$m=7,t=2,p=1$c29tZXNhbHQ$" + key, "at least"},
		{"$argon2id$v=19$m=99999999999999999999,t=2,p=1$c29tZXNhbHQ$" + key, "must have the form"},
		{testBcrypt[:59], "must have the form"},
		{testBcrypt + "x", "must have the form"},
		{strings.Replace(testBcrypt, "$2b$", "$2x$", 1), "must have the form"},
		{strings.Replace(testBcrypt, "$04$", "$15$", 1), "a cost of 4 to 14"},
		{strings.Replace(testBcrypt, "$04$", "$03$", 1), "a cost of 4 to 14"},
		{testCrypt[:len(testCrypt)-1], "must have the form"},
		{strings.Replace(testCrypt, "$6$", "$6$rounds=9999999$", 1), "rounds"},
		{strings.Replace(testCrypt, "$6$", "$6$rounds=0999$", 1), "rounds"},
		{"{SSHA512}" + testSSHA512[20:], "must be base64"},
		{"{SSHA512}!", "must be base64"},
		{testNT + "00", "32 hexadecimal"},
		{testNT[:34], "32 hexadecimal"},
		{"{NT}" + strings.Repeat("x", 32), "32 hexadecimal"},
		{"{NT}31d6cfe0d16ae931b73c59d7e0c089c0", "empty password"},
	} {
		h, err := parseHash(c.hash)
		if err == nil || h != nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, %v; want an error with %q", c.hash, h, err, c.want)
		}
		if err != nil && strings.Contains(err.Error(), "hunter2") {
			t.Errorf("the error holds the password: %v", err)
		}
	}
}

// FuzzParseHash: whatever the file says, a hash either is refused or fits the
// bounds, and never matches the empty password.
func FuzzParseHash(f *testing.F) {
	for _, c := range otherHashes {
		f.Add(c.hash)
	}
	f.Fuzz(func(t *testing.T, s string) {
		h, err := parseHash(s)
		if err != nil {
			return
		}
		if a, ok := h.(*argon2id); ok && (a.memory > maxArgon2Memory || len(a.key) < minKey) {
			t.Errorf("%+v", a)
		}
		if !h.slow() && h.match("") {
			t.Errorf("%s matches the empty password", s)
		}
	})
}
