package radius

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/radmatch/radmatch/mfa"
	"github.com/radmatch/radmatch/radius/wire"
)

// Find makes site the primary of a gateway, which knows only nemo.
func (s *site) Find(_ context.Context, who mfa.Name) (mfa.Identity, error) {
	user := who.Sent()
	if user != s.user.Name.String() {
		return mfa.Identity{}, mfa.ErrRejected
	}
	return mfa.Identity{Name: mfa.NameOf(user), Known: true, Attributes: []mfa.Attribute{{Vendor: wire.VendorMicrosoft, Type: 63, Value: []byte{0, 0, 0, 9}}}}, nil
}

// newGateway is an RD Gateway whose NPS waits so long after each try.
func newGateway(t *testing.T, method mfa.Method, tries []time.Duration, fresh bool) *device {
	s := newSite(t, "rdgateway", method, nil)
	s.client.NoPassword, s.client.Finder = s.profile.NoPassword, s
	return &device{site: s, profile: "rdgateway", tries: tries, fresh: fresh}
}

// connect is what a desktop's connection becomes.
func (d *device) connect(user, machine string) (wire.Answer, bool) {
	q := wire.Query{Code: wire.AccessRequest, User: user, Attributes: []mfa.Attribute{
		textAttribute("NAS-Port-Type", "Virtual"), textAttribute("Called-Station-Id", "UserAuthType:PW"),
		textAttribute("MS-Network-Access-Server-Type", "Terminal-Server-Gateway"),
	}}
	if machine != "" {
		q.Attributes = append(q.Attributes, textAttribute("MS-Machine-Name", machine))
	}
	a, packet := d.exchange(q, d.tries)
	return a, packet != nil
}

// TestGatewayTimers: however the gateway's NPS is set, who approves within the
// minute that a desktop waits gets in, and the phone shows one prompt. Each case is the
// Load Balancing tab: seconds until a request is dropped.
func TestGatewayTimers(t *testing.T) {
	tests := []struct {
		name  string
		tries []time.Duration
		fresh bool // a dropped request is sent again under another identifier
		after time.Duration
	}{
		{"as documented", repeat(1, 60*second), false, 40 * second},
		{"as documented, in the last moment", repeat(1, 60*second), false, 54 * second},
		{"as delivered, the same packet", repeat(20, 3*second), false, 40 * second},
		{"as delivered, new packets", repeat(20, 3*second), true, 40 * second},
		{"at once", repeat(20, 3*second), true, second},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := newGateway(t, mfa.MethodPush, tt.tries, tt.fresh)
				d.site.after = tt.after
				a, answered := d.connect("nemo", "PC-17")
				if !answered || a.Code != wire.AccessAccept || d.site.prompts.Load() != 1 || d.site.checks.Load() != 0 {
					t.Fatalf("answered %t with %s, sent %d times, %d checks of a password", answered, a.Code, d.site.prompts.Load(), d.site.checks.Load())
				}
				redirection := false
				for _, attribute := range a.Attributes() {
					redirection = redirection || attribute.Vendor == wire.VendorMicrosoft && attribute.Type == 63
				}
				if !redirection {
					t.Error("the Accept lacks the attributes of the user")
				}
				d.site.mu.Lock()
				defer d.site.mu.Unlock()
				if !d.site.endUsers["PC-17"] || len(d.site.endUsers) != 1 {
					t.Errorf("end users %v", d.site.endUsers)
				}
				for addr := range d.site.addrs {
					if addr.IsValid() {
						t.Errorf("an RD Gateway tells no address; got %s", addr)
					}
				}
			})
		})
	}
}

// TestGatewayNever: a gateway gets Accept or Reject, within its minute, whatever
// becomes of the prompt and whatever methods the user has.
func TestGatewayNever(t *testing.T) {
	tests := []struct {
		name    string
		method  mfa.Method
		user    string
		after   time.Duration
		denies  bool
		prompts int32
	}{
		{"denied", mfa.MethodPush, "nemo", 20 * second, true, 1},
		{"nobody answers", mfa.MethodPush, "nemo", 0, false, 1},
		{"only a passcode", mfa.MethodOTP, "nemo", 0, false, 0},
		{"an unknown user", mfa.MethodPush, "ahab", 0, false, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := newGateway(t, tt.method, repeat(1, 60*second), false)
				d.site.after, d.site.denies = tt.after, tt.denies
				if a, answered := d.connect(tt.user, "PC-17"); !answered || a.Code != wire.AccessReject || d.site.prompts.Load() != tt.prompts {
					t.Errorf("answered %t with %s, sent %d times", answered, a.Code, d.site.prompts.Load())
				}
			})
		})
	}
}
