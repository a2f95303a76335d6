package record

import (
	"encoding/json"
	"net/netip"
	"reflect"
	"testing"
	"time"

	"github.com/radmatch/radmatch/mfa"
)

// Prompts of databases that exist are read as they were written, and are written with
// the same keys.
func TestPromptOnDisk(t *testing.T) {
	at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	request := mfa.PromptRequest{Time: at, Client: "vpn", EndUser: "x", Claimed: true, Source: "y", Address: netip.MustParseAddr("198.51.100.7")}
	const prompt = `{"ID":"l1","Node":"3","Key":"k","User":"anna","Client":"vpn","Group":"edge","EndUser":"x","Claimed":true,"Source":"y","Plan":"push","Reason":"approve_deny",` +
		`"Started":"2026-03-01T12:00:00Z","Opened":"2026-03-01T12:00:00Z","Until":"2026-03-01T12:00:00Z","HideClient":true,"HidePlace":true,` +
		`"Requests":[{"time":"2026-03-01T12:00:00Z","client":"vpn","end_user":"x","claimed":true,"source":"y","address":"198.51.100.7"}]}`
	open := mfa.OpenPrompt{
		ID: "l1", Node: "3", Key: "k", Origin: mfa.Origin{Client: "vpn", Group: "edge", User: mfa.NameOf("anna"), EndUser: "x", Claimed: true, Source: "y"},
		Plan: mfa.PlanPush, Reason: mfa.ReasonApproveDeny, Started: at, Opened: at, Until: at, HideClient: true, HidePlace: true, Requests: []mfa.PromptRequest{request},
	}
	for _, f := range reflect.VisibleFields(reflect.TypeOf(open)) {
		if reflect.ValueOf(open).FieldByIndex(f.Index).IsZero() {
			t.Errorf("the test sets no %s", f.Name)
		}
	}
	data, err := EncodePrompt(&open)
	if err != nil {
		t.Fatal(err)
	}
	var written, wanted any
	if err := json.Unmarshal(data, &written); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal([]byte(prompt), &wanted); err != nil || !reflect.DeepEqual(written, wanted) {
		t.Errorf("on disk (%v)\n got %s\nwant %s", err, data, prompt)
	}
	if got, err := DecodePrompt([]byte(prompt)); err != nil || !reflect.DeepEqual(got, open) {
		t.Errorf("prompt: %v\n got %+v\nwant %+v", err, got, open)
	}
}
