package radius

import (
	"encoding/base64"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/radmatch/radmatch/mfa"
	"github.com/radmatch/radmatch/radius/profile"
	"github.com/radmatch/radmatch/radius/wire"
)

const second = time.Second

// repeat is n tries that wait equally long.
func repeat(n int, wait time.Duration) []time.Duration {
	tries := make([]time.Duration, n)
	for i := range tries {
		tries[i] = wait
	}
	return tries
}

// calling is the end user of a device that sends Calling-Station-Id in this form; %d
// is the port of the user's connection.
func calling(form string) func(int) []mfa.Attribute {
	return func(n int) []mfa.Attribute {
		v := form
		if strings.Contains(form, "%d") {
			v = fmt.Sprintf(form, 40000+n)
		}
		return []mfa.Attribute{textAttribute("Calling-Station-Id", v)}
	}
}

// devices are the devices of the profiles as they are delivered. Profile.Page
// says where each is from.
func devices() []*device {
	return []*device{
		{profile: "generic", tries: repeat(1, 60*second), endUser: calling("198.51.100.7")},
		{profile: "fortigate", tries: repeat(1, 5*second), protocols: []string{"pap", "mschap", "chap"}, endUser: calling("198.51.100.7")},
		{profile: "asa", tries: repeat(1, 10*second), endUser: func(int) []mfa.Attribute {
			return []mfa.Attribute{textAttribute("Calling-Station-Id", "198.51.100.7"), {Type: wire.TypeTunnelClientEndpoint, Value: []byte("198.51.100.7")}}
		}},
		{profile: "globalprotect", tries: repeat(3, 3*second), endUser: func(int) []mfa.Attribute {
			return []mfa.Attribute{textAttribute("PaloAlto-Client-Source-IP", "198.51.100.7")}
		}},
		{profile: "citrix", tries: repeat(1, 3*second), ports: true, endUser: calling("198.51.100.7")},
		{profile: "ivanti", tries: repeat(1, 30*second), endUser: calling("198.51.100.7"), typed: "arctangent,123456"},
		{profile: "openvpn", tries: repeat(1, 60*second), endUser: calling("198.51.100.7"),
			typed: "SCRV1:" + base64.StdEncoding.EncodeToString([]byte("arctangent")) + ":" + base64.StdEncoding.EncodeToString([]byte("123456"))},
		{profile: "ocserv", tries: repeat(3, 10*second), ports: true, endUser: calling("198.51.100.7"), read: readAsOcserv},
		{profile: "pam", tries: repeat(1, 3*second), once: true, ports: true, endUser: calling("198.51.100.7"), read: readAsPAM},
		{profile: "strongswan", tries: []time.Duration{2 * second, 2800 * time.Millisecond, 3920 * time.Millisecond, 5488 * time.Millisecond},
			endUser: calling("198.51.100.7[%d]"), typed: "arctangent123456"},
		{profile: "pppd", tries: repeat(3, 10*second), ports: true, endUser: calling("198.51.100.7"), typed: "arctangent,123456"},
		{profile: "pfsense", tries: repeat(3, 5*second), ports: true, endUser: calling("198.51.100.7:%d"), typed: "arctangent,123456"},
		{profile: "mikrotik", tries: repeat(3, 300*time.Millisecond), endUser: calling("198.51.100.7"), typed: "arctangent,123456"},
	}
}

// readAsOcserv reads an answer as ocserv does: State is a C string, and a
// challenge without State or Reply-Message fails.
func readAsOcserv(packet []byte) error {
	var state, message []byte
	for typ, v := range wire.Attributes(packet) {
		switch typ {
		case wire.TypeState:
			state = v
		case wire.TypeReplyMessage:
			message = v
		}
	}
	switch {
	case packet[0] != byte(wire.AccessChallenge):
		return nil
	case len(state) == 0 || len(message) == 0:
		return errors.New("a challenge without State or Reply-Message")
	case strings.ContainsRune(string(state), 0):
		return errors.New("a State that ends within")
	}
	return nil
}

// readAsPAM reads an answer as pam_radius does: into 1,024 octets, and the first
// Reply-Message only.
func readAsPAM(packet []byte) error {
	if len(packet) > 1024 {
		return errors.New("an answer longer than the buffer")
	}
	n := 0
	for typ := range wire.Attributes(packet) {
		if typ == wire.TypeReplyMessage {
			n++
		}
	}
	if n > 1 {
		return errors.New("a Reply-Message that nobody sees")
	}
	return readAsOcserv(packet)
}

// eachDevice runs a test in a bubble of its own for each device, as delivered.
func eachDevice(t *testing.T, method mfa.Method, f func(t *testing.T, d *device, s *site)) {
	tested := map[string]bool{}
	for _, d := range devices() {
		tested[d.profile] = true
		t.Run(d.profile, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d.site = newSite(t, d.profile, method, nil)
				if d.site.profile.Prompts {
					d.dialog = func(string) string { return "123456" }
				}
				f(t, d, d.site)
				d.site.checkEndUsers()
			})
		})
	}
	for _, p := range profile.All() {
		if !tested[p.Name] && !p.NoPassword {
			t.Errorf("profile %s is tested with no device", p.Name)
		}
	}
}

// checkEndUsers: whatever the form and the port, it was one end user at one address.
func (s *site) checkEndUsers() {
	s.t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.endUsers) != 1 || !s.endUsers["198.51.100.7"] || len(s.addrs) != 1 || !s.addrs[netip.MustParseAddr("198.51.100.7")] {
		s.t.Errorf("end users %v, addresses %v", s.endUsers, s.addrs)
	}
}

func TestDevicePasscode(t *testing.T) {
	eachDevice(t, mfa.MethodOTP, func(t *testing.T, d *device, s *site) {
		password := "arctangent"
		if d.dialog == nil {
			password = d.typed
		}
		if err := d.login(password); err != nil || s.prompts.Load() != 0 || s.checks.Load() != 1 {
			t.Errorf("%v, sent %d times, %d checks of the password; want no error, prompts 0, checks 1", err, s.prompts.Load(), s.checks.Load())
		}
		for _, text := range d.shown {
			if text == "" || !s.profile.ShowsReplyMessage {
				t.Errorf("the user saw %q", text)
			}
		}
	})
}

func TestDeviceWrongPassword(t *testing.T) {
	eachDevice(t, mfa.MethodOTP, func(t *testing.T, d *device, s *site) {
		err := d.login("arccosine")
		// CHAP, the third try of a FortiGate, reaches no primary.
		if most := min(2, max(1, int32(len(d.protocols)))); s.checks.Load() > most || s.prompts.Load() != 0 {
			t.Errorf("sent %d times, %d checks of the password; want checks at most most, prompts 0", s.prompts.Load(), s.checks.Load())
		}
		if want := errRejected; !errors.Is(err, want) && d.wait() > second { // RouterOS does not wait for it
			t.Errorf("%v, want %v", err, want)
		}
	})
}

// TestDeviceWrongCode: three wrong codes end a login, and no further protocol
// gets another try.
func TestDeviceWrongCode(t *testing.T) {
	eachDevice(t, mfa.MethodOTP, func(t *testing.T, d *device, s *site) {
		password, codes := "arctangent", int32(3)
		if d.dialog == nil {
			right := base64.StdEncoding.EncodeToString([]byte("123456"))
			wrong := base64.StdEncoding.EncodeToString([]byte("654321"))
			password, codes = strings.NewReplacer("123456", "654321", right, wrong).Replace(d.typed), 1
		} else {
			d.dialog = func(string) string { return "654321" }
		}
		err := d.login(password)
		if n := s.codes.Load(); n != codes || err == nil || (!errors.Is(err, errRejected) && d.wait() > second) {
			t.Errorf("%v, %d codes were examined, want %d", err, n, codes)
		}
	})
}

// TestDevicePush: who approves while the device waits gets in, and the phone
// shows one prompt for all that it sends.
func TestDevicePush(t *testing.T) {
	eachDevice(t, mfa.MethodPush, func(t *testing.T, d *device, s *site) {
		s.after = d.wait() * 4 / 10
		if err := d.login("arctangent"); err != nil || s.prompts.Load() != 1 {
			t.Errorf("%v, sent %d times; want no error, prompts 1", err, s.prompts.Load())
		}
	})
}

// TestDeviceDeny: a denial ends the login, also where the device goes on with
// another protocol, and gets no second prompt.
func TestDeviceDeny(t *testing.T) {
	eachDevice(t, mfa.MethodPush, func(t *testing.T, d *device, s *site) {
		s.after, s.denies = d.wait()*4/10, true
		err := d.login("arctangent")
		if again := d.login("arctangent"); !errors.Is(again, errRejected) && d.wait() > second {
			t.Errorf("at once again: %v", again)
		}
		if s.prompts.Load() != 1 || (!errors.Is(err, errRejected) && d.wait() > second) {
			t.Errorf("%v, sent %d times", err, s.prompts.Load())
		}
	})
}

// TestDeviceRaised: a device that waits for a user, and says so in nas_timeout.
func TestDeviceRaised(t *testing.T) {
	for _, d := range devices() {
		t.Run(d.profile, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d.site = newSite(t, d.profile, mfa.MethodPush, func(p *profile.Profile) { p.NASTimeout = 60 * second })
				d.tries = repeat(1, 60*second)
				d.site.after = 40 * second
				if err := d.login("arctangent"); err != nil || d.site.prompts.Load() != 1 || len(d.shown) != 0 {
					t.Errorf("%v, sent %d times, showed %q; want no error, prompts 1, no shown", err, d.site.prompts.Load(), d.shown)
				}
			})
		})
	}
}

// TestDeviceSlowUser: who takes longer than the device waits is asked to press
// OK where that can be shown, and gets in; otherwise the device is told no before it
// takes the server for dead.
func TestDeviceSlowUser(t *testing.T) {
	for _, hasty := range []bool{false, true} {
		t.Run(fmt.Sprintf("hasty=%v", hasty), func(t *testing.T) {
			eachDevice(t, mfa.MethodPush, func(t *testing.T, d *device, s *site) {
				if s.profile.NASTimeout == 0 {
					s.profile.NASTimeout = d.wait() // as learned, or set
				}
				s.after = min(d.wait()+5*second, 50*second)
				approved := time.Now().Add(s.after)
				if d.dialog != nil {
					d.dialog = func(string) string {
						if !hasty {
							time.Sleep(time.Until(approved) + second)
						}
						return ""
					}
				}
				err := d.login("arctangent")
				switch want := error(nil); {
				case d.profile == "mikrotik": // waits for less than a second
				case s.profile.Prompts && d.wait() < 50*second && (err != want || len(d.shown) == 0):
					t.Errorf("%v, showed %q", err, d.shown)
				case !s.profile.Prompts && d.wait() < 50*second && !errors.Is(err, errRejected):
					t.Errorf("%v, want %v", err, errRejected)
				}
				if s.prompts.Load() != 1 {
					t.Errorf("sent %d times; want prompts 1", s.prompts.Load())
				}
				for _, text := range d.shown {
					if !strings.Contains(text, "press OK") {
						t.Errorf("got showed %q; want \"press OK\" in it", text)
					}
				}
			})
		})
	}
}

// TestDeviceFailover: a device that asks its next server, with a packet that
// nothing shows to be the same login but the end user, gets no second prompt.
func TestDeviceFailover(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &device{profile: "generic", tries: repeat(4, 5*second), fresh: true, ports: true, endUser: calling("198.51.100.7")}
		d.site = newSite(t, d.profile, mfa.MethodPush, nil)
		d.site.after = 17 * second
		if err := d.login("arctangent"); err != nil || d.site.prompts.Load() != 1 {
			t.Errorf("%v, sent %d times; want no error, prompts 1", err, d.site.prompts.Load())
		}
	})
}
