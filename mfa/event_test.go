package mfa

import (
	"encoding/json"
	"strings"
	"testing"
)

// An administrative change is not a rejected login to anyone who counts them.
func TestAdminEventAsJSON(t *testing.T) {
	b, err := json.Marshal(Event{Kind: EventAdmin, Origin: Origin{User: NameOf("alice")}, Details: Details{Text: "blocked", Operator: "root"}})
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"plan", "reason", "outcome"} {
		if strings.Contains(string(b), `"`+key+`"`) {
			t.Errorf("%q in %s", key, b)
		}
	}
	for _, want := range []string{`"kind":"admin"`, `"user":"alice"`, `"operator":"root"`} {
		if !strings.Contains(string(b), want) {
			t.Errorf("no %s in %s", want, b)
		}
	}
	b, err = json.Marshal(&Event{Kind: EventLogin})
	if err != nil {
		t.Fatal(err)
	}
	if want := `"plan":"deny","reason":"","outcome":"reject"`; !strings.Contains(string(b), want) {
		t.Errorf("no %s in %s", want, b)
	}
}
