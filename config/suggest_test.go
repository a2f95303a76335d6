package config

import (
	"strings"
	"testing"
)

// TestSuggestKey: what is said of a key that is unknown where it stands.
func TestSuggestKey(t *testing.T) {
	for text, want := range map[string]string{
		"    adresses: [192.0.2.1]\n": `clients[0].adresses: unknown key; did you mean "addresses"`,
		"    shared_secret: x\n":      `clients[0].shared_secret: unknown key; did you mean "secret"`,
		"    fatigue: {prompts: 3}\n": "clients[0].fatigue: unknown key; it belongs to the top level",
		"    primaries: []\n":         `clients[0].primaries: unknown key; it belongs to the top level`,
		"    public_url: x\n":         "clients[0].public_url: unknown key; it belongs to web",
		"    budget: 60s\n":           "clients[0].budget: is now nas_timeout",
		"    nonsense: 60s\n":         "clients[0].nonsense: unknown key",
		"nas_timeout: 60s\n":          "nas_timeout: unknown key; it belongs to an entry of clients",
		"mfa: {secret: x}\n":          "mfa.secret: unknown key; it belongs to an entry of clients",
		"lockout: {codes: 5}\n":       "lockout.codes: is now passcodes",
	} {
		if _, err := loadText(t, minimal+text, testKnown()); err == nil || !strings.Contains(err.Error()+"\n", ": "+want+"\n") {
			t.Errorf("%s: got %v, want %q", text, err, want)
		}
	}
}
