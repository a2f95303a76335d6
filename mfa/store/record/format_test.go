package record

import (
	"encoding/json"
	"net/netip"
	"reflect"
	"testing"
	"time"

	"github.com/radmatch/radmatch/mfa"
)

// Events of databases that exist are read as they were written, and are written with
// the same keys.
func TestFormatOnDisk(t *testing.T) {
	const details = `{"device":"phone","device_id":"d1","signature":"AAEC","count":7,"primary_rounds":2,` +
		`"requests":[{"time":"2026-03-01T12:00:00Z","client":"vpn","end_user":"x","claimed":true,"source":"y","address":"198.51.100.7"}],` +
		`"text":"t","operator":"root","number_matching":true,"session":{"status":"start"},"claimed":true,"blocks_user":true,` +
		`"wrong_codes":{"in_a_row":3},"packets":["AQI="]}`
	at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	request := mfa.PromptRequest{Time: at, Client: "vpn", EndUser: "x", Claimed: true, Source: "y", Address: netip.MustParseAddr("198.51.100.7")}
	want := mfa.Event{ID: "l1", Time: at, Kind: mfa.EventLogin, Origin: mfa.Origin{Group: "edge", EndUser: "x", Claimed: true, Source: "y"}, Method: "push", Packets: [][]byte{{1, 2}},
		Approval: mfa.Approval{Device: "phone", DeviceID: "d1", Signature: []byte{0, 1, 2}},
		Details: mfa.Details{
			WrongCodes: &mfa.WrongCodes{Row: 3}, Rounds: 2, Count: 7,
			Requests: []mfa.PromptRequest{request}, Text: "t", Operator: "root", NumberSet: true, Session: &mfa.Session{Status: "start"}, BlocksUser: true,
		}}
	plain := want
	plain.Approval, plain.Details, plain.Packets, plain.Claimed = mfa.Approval{}, mfa.Details{}, nil, false
	encode := func(ev mfa.Event) []byte {
		r, err := NewRow(ev, at)
		must(t, err)
		return r.Data
	}
	front, data := encode(plain), encode(want)
	sameJSON(t, string(data[len(front):]), details)
	var got mfa.Event
	must(t, DecodeEvent(append(front, details...), &got))
	if !reflect.DeepEqual(got, want) {
		t.Errorf("event\n got %+v\nwant %+v", got, want)
	}
}

func sameJSON(t *testing.T, got, want string) {
	t.Helper()
	var a, b any
	must(t, json.Unmarshal([]byte(got), &a))
	must(t, json.Unmarshal([]byte(want), &b))
	if !reflect.DeepEqual(a, b) {
		t.Errorf("on disk\n got %s\nwant %s", got, want)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
