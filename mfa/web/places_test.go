package web

import (
	"bytes"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/radmatch/radmatch/mfa"
	"github.com/radmatch/radmatch/mfa/device"
	"github.com/radmatch/radmatch/mfa/web/webtest"
)

func openPlaces(t testing.TB, file string, content []byte) (*Places, *observer.ObservedLogs) {
	t.Helper()
	if err := os.WriteFile(file, content, 0o600); err != nil {
		t.Fatal(err)
	}
	core, logs := observer.New(zap.InfoLevel)
	p, err := OpenPlaces(file, zap.New(core))
	if err != nil {
		t.Fatal(err)
	}
	return p, logs
}

var testPlaces = map[string][2]string{
	"198.51.100.0/24": {"Hamburg", "Germany"},
	"203.0.113.0/25":  {"", "Switzerland"},
	"192.0.2.0/24":    {"Singapore", "Singapore"},
	"192.88.99.0/24":  {"\x1b[2J\u202e" + strings.Repeat("x", 200), "Nowhere"},
}

func TestPlaces(t *testing.T) {
	p, _ := openPlaces(t, filepath.Join(t.TempDir(), "city.mmdb"), webtest.GeoIP(testPlaces))
	if kind := p.Kind(); kind != "Test-City of 2026-11-22" {
		t.Errorf("it is: got %q; want \"Test-City of 2026-11-22\"", kind)
	}
	for address, want := range map[string]string{
		"198.51.100.7": "Hamburg, Germany", "::ffff:198.51.100.7": "Hamburg, Germany",
		"203.0.113.7": "Switzerland", "203.0.113.200": "", "192.0.2.1": "Singapore", "127.0.0.1": "", "2001:db8::1": "",
	} {
		if got := p.Name(netip.MustParseAddr(address)); got != want {
			t.Errorf("%s: got %q, want %q", address, got, want)
		}
	}
	if got := p.Name(netip.MustParseAddr("192.88.99.1")); strings.ContainsAny(got, "\x1b\u202e") || len([]rune(got)) > maxText {
		t.Errorf("a hostile name: %q", got)
	}
	if p.Name(netip.Addr{}) != "" || (*Places)(nil).Name(netip.MustParseAddr("198.51.100.7")) != "" {
		t.Error("a place without an address, or without a database")
	}
}

// TestPlacesBroken: what is no database is refused at start, and is no panic.
func TestPlacesBroken(t *testing.T) {
	good := webtest.GeoIP(testPlaces)
	file := filepath.Join(t.TempDir(), "city.mmdb")
	for name, content := range map[string][]byte{"empty": {}, "text": []byte("geoip"), "no metadata": good[:len(good)/2], "cut": good[:len(good)-20]} {
		if err := os.WriteFile(file, content, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := OpenPlaces(file, zap.NewNop()); err == nil || !strings.Contains(err.Error(), file) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := OpenPlaces(file+".none", zap.NewNop()); err == nil {
		t.Error("no file is taken: got no error; want one")
	}
	// Octets that were turned over in the tree and the data: wrong names at worst.
	for i := range good {
		bent := slices.Clone(good)
		bent[i] ^= 0xff
		if err := os.WriteFile(file, bent, 0o600); err != nil {
			t.Fatal(err)
		}
		if p, err := OpenPlaces(file, zap.NewNop()); err == nil {
			p.Name(netip.MustParseAddr("198.51.100.7"))
		}
	}
}

// TestPlacesReplaced: a new file is read, also one that was written over the old;
// a broken one changes nothing.
func TestPlacesReplaced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		file := filepath.Join(t.TempDir(), "city.mmdb")
		p, logs := openPlaces(t, file, webtest.GeoIP(testPlaces))
		address := netip.MustParseAddr("198.51.100.7")
		look := func(want string) {
			t.Helper()
			time.Sleep(placesEvery)
			p.Name(address) // looks at the file
			synctest.Wait()
			if got := p.Name(address); got != want {
				t.Errorf("got %q, want %q", got, want)
			}
		}
		write := func(city string) []byte {
			return webtest.GeoIP(map[string][2]string{"198.51.100.0/24": {city, "Germany"}})
		}
		look("Hamburg, Germany")
		if err := os.WriteFile(file+".new", write("Bremerhaven"), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(file+".new", file); err != nil {
			t.Fatal(err)
		}
		if got := p.Name(address); got != "Hamburg, Germany" {
			t.Errorf("at once: got %q; want \"Hamburg, Germany\"", got)
		}
		look("Bremerhaven, Germany")
		if err := os.WriteFile(file, write("Kiel"), 0o600); err != nil { // in place
			t.Fatal(err)
		}
		look("Kiel, Germany")
		if err := os.Truncate(file, 10); err != nil {
			t.Fatal(err)
		}
		look("Kiel, Germany")
		look("Kiel, Germany")
		if n := logs.FilterLevelExact(zap.WarnLevel).Len(); n != 1 {
			t.Errorf("got %d warnings of one broken file; want 1", n)
		}
		if err := os.Remove(file); err != nil {
			t.Fatal(err)
		}
		look("Kiel, Germany")
		if err := os.WriteFile(file, write("Lübeck"), 0o600); err != nil {
			t.Fatal(err)
		}
		look("Lübeck, Germany")
	})
}

// TestPromptPlaces: a place is named only for a genuine address.
func TestPromptPlaces(t *testing.T) {
	r := newRig(t)
	r.Places, _ = openPlaces(t, filepath.Join(t.TempDir(), "city.mmdb"), webtest.GeoIP(testPlaces))
	address := netip.MustParseAddr("198.51.100.7")
	for id, c := range map[string]struct {
		request mfa.PromptRequest
		hide    bool
	}{
		"genuine":                 {request: mfa.PromptRequest{EndUser: "198.51.100.7", Address: address}},
		"a name, and an address":  {request: mfa.PromptRequest{EndUser: "PC-17", Claimed: true, Address: address}},
		"nothing, and an address": {request: mfa.PromptRequest{Address: address}},
		"claimed":                 {request: mfa.PromptRequest{EndUser: "198.51.100.7", Claimed: true}},
		"not vouched for":         {request: mfa.PromptRequest{EndUser: "198.51.100.7"}},
		"not to be shown":         {request: mfa.PromptRequest{EndUser: "198.51.100.7", Address: address}, hide: true},
	} {
		p := mfa.Prompt{ID: id, User: mfa.NameOf("anna"), Requests: []mfa.PromptRequest{c.request}, HidePlace: c.hide}
		sub := r.Approver.Subscribe(mfa.NameOf("anna"), device.MaxVersion)
		<-sub.Ready()
		sub.Take()
		go func() { _, _ = r.Approver.Push(t.Context(), p) }()
		<-sub.Ready()
		sub.Close()
	}
	var list device.PromptList
	r.get(t, "anna1", "/api/v1/prompts", &list)
	if len(list.Prompts) != 6 {
		t.Fatalf("got %d prompts; want 6", len(list.Prompts))
	}
	for _, v := range list.Prompts {
		want := ""
		if v.ID == "genuine" {
			want = "Hamburg, Germany"
		}
		if got := v.Requests[0].Place; got != want {
			t.Errorf("%s: got %q; want %q", v.ID, got, want)
		}
	}
	s := r.stream(t, "anna1")
	if _, data := s.next(); strings.Count(data, `"place":"Hamburg, Germany"`) != 1 || strings.Contains(data, `"Address"`) {
		t.Errorf("the stream has %s", data)
	}
	r.Server.History = &trail{events: []mfa.Event{
		{ID: "a", Origin: mfa.Origin{User: mfa.NameOf("anna"), EndUser: "198.51.100.7"}, Outcome: mfa.Accept},
		{ID: "b", Origin: mfa.Origin{User: mfa.NameOf("anna"), EndUser: "198.51.100.7", Claimed: true}, Outcome: mfa.Accept},
	}}
	var v historyView
	if r.get(t, "anna1", "/api/v1/history", &v); v.Logins[0].Place != "Hamburg, Germany" || v.Logins[1].Place != "" {
		t.Errorf("history: got %+v; want Place \"Hamburg, Germany\", Place no text", v.Logins)
	}
}

func FuzzPlaces(f *testing.F) {
	f.Add(webtest.GeoIP(testPlaces))
	file := filepath.Join(f.TempDir(), "city.mmdb")
	f.Fuzz(func(t *testing.T, content []byte) {
		if bytes.Contains(content, []byte{0}) && len(content) > 1<<16 {
			return
		}
		if err := os.WriteFile(file, content, 0o600); err != nil {
			t.Fatal(err)
		}
		if p, err := OpenPlaces(file, zap.NewNop()); err == nil {
			p.Kind()
			p.Name(netip.MustParseAddr("198.51.100.7"))
			p.Name(netip.MustParseAddr("2001:db8::1"))
		}
	})
}
