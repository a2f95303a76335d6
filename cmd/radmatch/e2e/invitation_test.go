package e2e

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/radmatch/radmatch/mfa"
	"github.com/radmatch/radmatch/mfa/device"
	"github.com/radmatch/radmatch/mfa/store"
)

// comesFrom is the way through a proxy that says so.
type comesFrom string

func (c comesFrom) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Set("X-Forwarded-For", string(c))
	return http.DefaultTransport.RoundTrip(r)
}

// tryInvitation enrols with a token from an address. It returns an error code of
// the protocol, empty where the device was enrolled, and what the user is told.
func (p *serverProcess) tryInvitation(token string, from comesFrom) (code, message string) {
	_, err := device.Enroll(p.t.Context(), device.InvitationLink("http://"+p.web, token), "phone", device.MaxVersion, &http.Client{Transport: from})
	var told *device.PhoneError
	switch {
	case err == nil:
		return "", ""
	case errors.As(err, &told):
		return told.Code, told.Message
	}
	return err.Error(), ""
}

// expired returns the token of an invitation that is over.
func (p *serverProcess) expired(user string) string {
	p.t.Helper()
	ctx := context.Background()
	st, err := store.Open(ctx, store.Options{Dir: p.path("data")})
	if err != nil {
		p.t.Fatal(err)
	}
	defer st.Close()
	token, in := device.NewInvitation(mfa.NameOf(user), time.Now().Add(-time.Second))
	if err := st.Invite(ctx, in, mfa.Event{Kind: mfa.EventAdmin, Origin: mfa.Origin{User: mfa.NameOf(user)}}); err != nil {
		p.t.Fatal(err)
	}
	return token
}

// TestInvitations: an invitation enrols one device, however many come at once;
// one that was used, has expired or never was is refused alike; and who guesses
// is slowed down, and no other caller.
func TestInvitations(t *testing.T) {
	t.Parallel()
	p := startServer(t, siteHead+siteClient+"web: {trusted_proxies: [127.0.0.1]}\n")
	used := p.invite("alice")
	var mu sync.Mutex
	codes := map[string]int{}
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			code, _ := p.tryInvitation(used, "198.51.100.1")
			mu.Lock()
			defer mu.Unlock()
			codes[code]++
		})
	}
	all.Wait()
	if codes[""] != 1 || codes["invitation"] != 7 {
		t.Errorf("eight at once with one invitation: got %v; want 1, 7", codes)
	}
	p.kill()
	p.start()
	never, _ := device.NewInvitation(mfa.NameOf("alice"), time.Now().Add(time.Hour))
	told := map[string]bool{}
	for name, token := range map[string]string{"used": used, "expired": p.expired("alice"), "never made": never} {
		code, message := p.tryInvitation(token, "198.51.100.2")
		if told[message] = true; code != "invitation" {
			t.Errorf("%s: got %q; want \"invitation\"", name, code)
		}
	}
	if len(told) != 1 {
		t.Errorf("got refusals that differ: %v; want all alike", told)
	}
	if n := strings.Count(p.cli("device", "list", "alice"), "\nalice "); n != 1 {
		t.Errorf("alice has %d devices, want 1", n)
	}

	refused := 0
	for range 30 { // 20, and one every 3 s
		guess, _ := device.NewInvitation(mfa.NameOf("bob"), time.Now())
		if code, _ := p.tryInvitation(guess, "198.51.100.3"); code == "too_many_requests" {
			refused++
		}
	}
	if refused < 5 {
		t.Errorf("got %d of 30 guesses were refused unseen; want at least 5", refused)
	}
	good := p.invite("bob")
	if code, _ := p.tryInvitation(good, "198.51.100.4"); code != "" {
		t.Errorf("someone else, meanwhile: got %q; want no text", code)
	}
	p.stop() // writes what the log still holds back
	if text := p.log(); strings.Contains(text, used) || strings.Contains(text, good) || strings.Contains(text, never) ||
		!strings.Contains(text, `"from":"198.51.100.3:0"`) {
		t.Errorf("the log has a token, or not who guessed:\n%s", text)
	}
}
