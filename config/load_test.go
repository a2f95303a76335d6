package config

import (
	"errors"
	"flag"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/radmatch/radmatch/config/load"
)

var update = flag.Bool("update", false, "rewrite the .err files of testdata/config/bad")

type fileSettings struct {
	Path string `yaml:"path" example:"users.yaml" doc:"The users file."`
}

// listSettings has a list of sections, and a rule of its own.
type listSettings struct {
	Servers []struct {
		Address string `yaml:"address" required:"true" example:"192.0.2.1" doc:"Where it is."`
		Secret  string `yaml:"secret" example:"open sesame" doc:"What it knows."`
	} `yaml:"servers" doc:"The servers."`
}

func (s *listSettings) CheckSettings(problem func(key, rule, got string)) {
	for i, server := range s.Servers {
		if server.Address == "nowhere" {
			problem(fmt.Sprintf("servers[%d].address", i), "must be somewhere", server.Address)
		}
		if server.Secret == "" {
			problem(fmt.Sprintf("servers[%d].secret", i), "must be there", "")
		}
	}
}

// testKnown is what the program brings along, and one profile with a default.
func testKnown() Known {
	return Known{
		Primaries: map[string]any{"file": fileSettings{}, "servers": listSettings{}},
		Push:      map[string]any{"approver": struct{}{}},
		Profiles: map[string]map[string]any{
			"generic": nil,
			"gateway": {"override_number_matching_with_otp": false, "prompts": false},
			"strict": {"override_number_matching_with_otp": true, "push_timeout": 20 * time.Second,
				"prompts": true, "end_user": []string{"Calling-Station-Id"}, "nas_timeout": 9 * time.Second},
		},
		NoPassword: []string{"gateway"},
		Field: func(name string) error {
			if name != "Calling-Station-Id" {
				return errors.New("must be the name of an attribute")
			}
			return nil
		},
	}
}

// loadText loads a file with this text.
func loadText(t testing.TB, text string, known Known) (*Config, error) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "radmatch.yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return Load(file, known)
}

// minimal is a file without the keys that a test adds. Its client is the last
// entry, so that keys of a client may follow.
const minimal = `primaries:
  - {name: local, type: file, path: users.yaml}
clients:
  - name: vpn
    addresses: [203.0.113.0/24]
    secret: 8-PtwkGzXq2vNc4LrT
`

func glob(t *testing.T, pattern string) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join("../testdata/config", pattern))
	if err != nil || len(files) == 0 {
		t.Fatalf("no files %s: %v", pattern, err)
	}
	return files
}

func TestOK(t *testing.T) {
	for _, file := range glob(t, "ok/*.yaml") {
		t.Run(filepath.Base(file), func(t *testing.T) {
			if _, err := Load(file, testKnown()); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestBad compares all problems of each file with what is beside it. Warnings
// about the mode of files depend on the checkout and are left out.
func TestBad(t *testing.T) {
	for _, file := range glob(t, "bad/*.yaml") {
		t.Run(filepath.Base(file), func(t *testing.T) {
			_, err := Load(file, testKnown())
			if err == nil {
				t.Fatal("it loads: got no error; want one")
			}
			lines := strings.Split(strings.ReplaceAll(err.Error(), filepath.Dir(file)+"/", ""), "\n")
			lines = slices.DeleteFunc(lines, func(l string) bool { return strings.Contains(l, "everyone on this machine") })
			got := strings.Join(lines, "\n") + "\n"
			if strings.Contains(strings.ToLower(got), "hunter2") {
				t.Errorf("a secret is shown:\n%s; want no \"hunter2\" in it", got)
			}
			golden := strings.TrimSuffix(file, ".yaml") + ".err"
			if *update {
				if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if got != string(want) {
				t.Errorf("got\n%s\nwant\n%s", got, want)
			}
		})
	}
}

func TestTenMistakes(t *testing.T) {
	_, err := Load("../testdata/config/bad/tenmistakes.yaml", testKnown())
	ps := slices.DeleteFunc(err.(Problems), func(p Problem) bool { return p.Warning })
	if len(ps) != 10 {
		t.Errorf("got %d problems, want 10:\n%v", len(ps), err)
	}
	if !slices.IsSortedFunc(ps, func(a, b Problem) int { return a.Line - b.Line }) {
		t.Errorf("not in the order of the lines:\n%v", err)
	}
}

func TestDefaults(t *testing.T) {
	c, err := loadText(t, minimal, testKnown())
	if err != nil {
		t.Fatal(err)
	}
	no := false
	m := MFA{
		RequireUserMatch: true, Credentials: []string{"pap", "mschapv2"}, Append: "off", AppendDelimiter: ",", Push: "phone", PushTimeout: 55 * time.Second, ChallengeTTL: 3 * time.Minute, Join: true,
		OnPrimaryError: "discard", OnMFAError: "discard", RejectDelay: time.Second, RequireMessageAuthenticator: RequireAuto,
		RequireNASType: true,
		Exempt:         Exempt{Groups: []string{}, Addresses: []netip.Prefix{}},
		Require:        Required{Groups: []string{}, Addresses: []netip.Prefix{}},
	}
	on := Feature{State: "enabled", Include: []string{"all_users"}, Exclude: []string{}}
	want := Config{
		Listen:  Listen{RADIUS: []string{"0.0.0.0:1812"}, Accounting: []string{}, Web: "127.0.0.1:8080"},
		DataDir: filepath.Join(filepath.Dir(c.File), "data"),
		Store:   Store{Type: "sqlite"},
		Web: Web{Passkeys: "preferred", TrustedProxies: []netip.Prefix{},
			TLS: TLS{ACME: ACME{Directory: "https://acme-v02.api.letsencrypt.org/directory"}},
			PushServices: []string{"fcm.googleapis.com", "updates.push.services.mozilla.com", "*.notify.windows.com",
				"*.push.apple.com", "web.push.apple.com"}},
		MFA:     m,
		Lockout: Lockout{Passcodes: 10, Window: 15 * time.Minute, For: 15 * time.Minute},
		Fatigue: Fatigue{Prompts: 5, Window: 10 * time.Minute, For: 30 * time.Minute, Total: 30},
		Limits:  Limits{Pending: 50000, PendingPerClient: 25000, Attributes: 200},
		Events:  Events{Keep: 180 * 24 * time.Hour, MaxSize: 2 << 30},
		Policy:  Policy{NumberMatching: on, ShowApplicationName: on, ShowLocation: on},
		Log:     Log{Level: "info", Format: "auto"},
	}
	got := *c
	got.File, got.Warnings, got.lines, got.Primaries, got.Push, got.Clients = "", nil, nil, nil, nil, nil
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got\n%+v\nwant\n%+v", got, want)
	}
	cl := c.Clients[0]
	m.OverrideNumberMatchingWithOTP = &no
	if !reflect.DeepEqual(cl.MFA, m) {
		t.Errorf("client: got %+v, want %+v", cl.MFA, m)
	}
	if cl.Profile != "generic" || cl.Group != "vpn" || cl.Primary != "local" || cl.ExemptClient || len(cl.AllowGroups) != 0 {
		t.Errorf("client: got %+v", cl)
	}
	if len(c.Push) != 1 || c.Push[0].Name != "phone" || c.Push[0].Type != "approver" {
		t.Errorf("push: got %+v", c.Push)
	}
	s, ok := c.Primaries[0].Settings.(*fileSettings)
	if !ok || s.Path != "users.yaml" || c.Resolve(s.Path) != filepath.Join(filepath.Dir(c.File), "users.yaml") {
		t.Errorf("primary: got %+v", c.Primaries[0])
	}
	if want := c.File + ":2: primaries[0]"; c.Primaries[0].Where != want {
		t.Errorf("primary: got %q, want %q", c.Primaries[0].Where, want)
	}
}

func TestFull(t *testing.T) {
	c, err := Load("../testdata/config/ok/full.yaml", testKnown())
	if err != nil {
		t.Fatal(err)
	}
	vpn, gateway := c.Clients[0], c.Clients[1]
	for _, tt := range []struct{ name, got, want string }{
		{"public_url", c.PublicURL(), "https://mfa.example.org:8443"},
		{"data_dir", c.DataDir, "/var/lib/radmatch"},
		{"addresses", fmt.Sprint(vpn.Addresses), "[203.0.113.0/24 203.0.113.7/32 2001:db8:1::/48]"},
		{"secret file", join2(vpn.Secret), "a-new-secret-of-32-octets-zT4qLw,an-old-secret-of-32-octets-Gm8xRv"},
		{"secrets", join2(gateway.Secret), "0123456789abcdef,*fedcba9876543210"},
		{"groups", fmt.Sprint(vpn.AllowGroups), "[staff Domain Users]"},
		{"exempt of the client", fmt.Sprint(vpn.MFA.Exempt.Groups), "[robots]"},
		{"exempt addresses", fmt.Sprint(vpn.MFA.Exempt.Addresses), "[10.0.0.0/8 2001:db8:2::/48]"},
		{"require", fmt.Sprint(vpn.MFA.Require), "{[admins] [192.0.2.7/32]}"},
		{"group replies", fmt.Sprint(vpn.MFA.GroupReplies), "[{staff [" +
			"{Filter-Id employees ../testdata/config/ok/full.yaml:29: clients[0].group_replies[0].reply.Filter-Id} " +
			"{Tunnel-Private-Group-Id:1 20 ../testdata/config/ok/full.yaml:29: clients[0].group_replies[0].reply.\"Tunnel-Private-Group-Id:1\"} " +
			"{Class one ../testdata/config/ok/full.yaml:29: clients[0].group_replies[0].reply.Class} " +
			"{Class two ../testdata/config/ok/full.yaml:29: clients[0].group_replies[0].reply.Class}]} {all_users [" +
			"{Session-Timeout 28800 ../testdata/config/ok/full.yaml:32: clients[0].group_replies[1].reply[0].Session-Timeout} " +
			"{Class three ../testdata/config/ok/full.yaml:33: clients[0].group_replies[1].reply[1].Class}]}]"},
		{"no group replies of the client", fmt.Sprint(gateway.MFA.GroupReplies), "[]"},
		{"exempt of mfa", fmt.Sprint(gateway.MFA.Exempt.Groups), "[service]"},
		{"push_timeout", fmt.Sprint(vpn.MFA.PushTimeout, gateway.MFA.PushTimeout), "25s 45s"},
		{"require", string(vpn.MFA.RequireMessageAuthenticator + " " + gateway.MFA.RequireMessageAuthenticator), "auto yes"},
		{"join", fmt.Sprint(vpn.MFA.Join, gateway.MFA.Join), "true false"},
		{"override", fmt.Sprint(*vpn.MFA.OverrideNumberMatchingWithOTP, *gateway.MFA.OverrideNumberMatchingWithOTP, *c.MFA.OverrideNumberMatchingWithOTP), "true false false"},
		{"durations", fmt.Sprint(c.Lockout.For, c.Fatigue.For, c.Events.Keep), "24h0m0s 1h30m0s 8760h0m0s"},
		{"size", fmt.Sprint(c.Events.MaxSize), "500MiB"},
		{"web push", strings.Join(append(c.Web.PushServices, c.PushContact(), c.Web.PushCAFile), " "),
			"fcm.googleapis.com *.notify.windows.com push.example.org:8443 mailto:postmaster@example.org ../testdata/config/ok/push-ca.pem"},
		{"accounting", strings.Join(c.Listen.Accounting, " "), "192.0.2.1:1813 :1646"},
		{"forward", c.Accounting.Forward[0].Name + " " + c.Accounting.Forward[1].Address, "nps [2001:db8::10]:1813"},
		{"secrets of forward", join2(c.Accounting.Forward[0].Secret) + "," + join2(c.Accounting.Forward[1].Secret),
			"nps-secret-of-32-octets-8vRq2LwTz,another-secret-of-32-octets-K3jd9P"},
		{"default means enabled", fmt.Sprint(c.Policy.NumberMatching.Enabled()), "true"},
		{"show_application_name", fmt.Sprint(c.Policy.ShowApplicationName.Enabled()), "false"},
		{"show_location", fmt.Sprint(c.Policy.ShowLocation), "{enabled [all_users] [vip]}"},
	} {
		if tt.got != tt.want {
			t.Errorf("%s: got %s, want %s", tt.name, tt.got, tt.want)
		}
	}
}

func join2(ss load.Secrets) string {
	var texts []string
	for _, s := range ss {
		texts = append(texts, string(s))
	}
	return strings.Join(texts, ",")
}

func TestMerge(t *testing.T) {
	c, err := Load("../testdata/config/ok/anchors.yaml", testKnown())
	if err != nil {
		t.Fatal(err)
	}
	second := c.Clients[1]
	if second.Name != "gateway" || second.MFA.Join || second.MFA.PushTimeout != 2*time.Minute || join2(second.Secret) != "r7JmYd5sKhW0bUeAnF" {
		t.Errorf("got %+v", second)
	}
}

// TestOverride is the table of where override_number_matching_with_otp comes from.
func TestOverride(t *testing.T) {
	const key = "override_number_matching_with_otp"
	for _, tt := range []struct {
		name, client, profile, mfa, env string
		want                            bool
		origin                          string
	}{
		{name: "nothing", origin: "default"},
		{name: "empty environment", env: "empty", origin: "default"},
		{name: "environment", env: "TRUE", want: true, origin: "environment"},
		{name: "environment false", env: "FALSE", origin: "environment"},
		{name: "mfa over environment", mfa: "false", env: "TRUE", origin: "mfa"},
		{name: "mfa", mfa: "true", env: "FALSE", want: true, origin: "mfa"},
		{name: "profile over mfa", profile: "strict", mfa: "false", want: true, origin: "profile strict"},
		{name: "client over profile", client: "false", profile: "strict", mfa: "true", env: "TRUE", origin: "client vpn"},
		{name: "client", client: "true", mfa: "false", env: "FALSE", want: true, origin: "client vpn"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			text := minimal
			if tt.client != "" {
				text += "    " + key + ": " + tt.client + "\n"
			}
			if tt.profile != "" {
				text += "    profile: " + tt.profile + "\n"
			}
			if tt.mfa != "" {
				text += "mfa: {" + key + ": " + tt.mfa + "}\n"
			}
			known := testKnown()
			known.LookupEnv = func(name string) (string, bool) {
				if name != "OVERRIDE_NUMBER_MATCHING_WITH_OTP" || tt.env == "" {
					return "", false
				}
				return strings.TrimSuffix(tt.env, "empty"), true
			}
			c, err := loadText(t, text, known)
			if err != nil {
				t.Fatal(err)
			}
			if got, origin := c.Clients[0].OverrideOTP(); got != tt.want || origin != tt.origin {
				t.Errorf("got %v from %q, want %v from %q", got, origin, tt.want, tt.origin)
			}
		})
	}
}

func TestOverrideBadEnvironment(t *testing.T) {
	for _, value := range []string{"true", "1", "yes", " TRUE"} {
		known := testKnown()
		known.LookupEnv = func(string) (string, bool) { return value, true }
		_, err := loadText(t, minimal, known)
		want := fmt.Sprintf("environment: OVERRIDE_NUMBER_MATCHING_WITH_OTP: must be TRUE or FALSE, in capitals; got %q", value)
		if err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}

func TestOrigin(t *testing.T) {
	c, err := loadText(t, minimal+"    profile: strict\n    join: true\n    nas_timeout: 30s\nmfa: {join: false, reject_delay: 2s}\n", testKnown())
	if err != nil {
		t.Fatal(err)
	}
	for key, want := range map[string]string{
		"join": "client vpn", "push_timeout": "profile strict", "reject_delay": "mfa", "challenge_ttl": "default",
		"prompts": "profile strict", "nas_timeout": "client vpn", "address": "default",
	} {
		if got := c.Clients[0].Origin(key); got != want {
			t.Errorf("%s: got %q, want %q", key, got, want)
		}
	}
	if got := c.Clients[0]; !got.Prompts || got.NASTimeout != 30*time.Second || !slices.Equal(got.EndUser, []string{"Calling-Station-Id"}) || got.AddressAttribute != nil {
		t.Errorf("got %+v", got)
	}
	if got := c.Clients[0].MFA; got.PushTimeout != 20*time.Second || !got.Join || got.RejectDelay != 2*time.Second {
		t.Errorf("got %+v", got)
	}
}

func TestWarnings(t *testing.T) {
	for _, tt := range []struct{ name, text, want string }{
		{"short secret", strings.Replace(minimal, "8-PtwkGzXq2vNc4LrT", "hunter2-1234", 1), "6: warning: clients[0].secret: a secret of 12 octets"},
		{"unsigned", minimal + "mfa: {require_message_authenticator: no}\n", "7: warning: mfa.require_message_authenticator: unsigned"},
		{"unsigned client", minimal + "    require_message_authenticator: false\n", "7: warning: clients[0].require_message_authenticator: unsigned"},
		{"loopback", minimal, "warning: web.public_url: phones cannot reach http://127.0.0.1:8080"},
		{"wildcard", minimal + "listen: {web: ':8080'}\nweb: {insecure_http: true}\n", "warning: web.public_url: phones cannot reach http://127.0.0.1:8080"},
		{"insecure", minimal + "listen: {web: ':8080'}\nweb: {insecure_http: true}\n", "8: warning: web.insecure_http: who listens between"},
		{"http", minimal + "web: {public_url: 'http://mfa.example.org'}\n", "7: warning: web.public_url: is not https"},
		{"fatigue", minimal + "mfa: {push_timeout: 150s}\n", "7: warning: mfa.push_timeout: 5 prompts that nobody answers take longer than fatigue.window, 10m: they never"},
		{"fatigue of a client", minimal + "    push_timeout: 2m30s\n", "7: warning: clients[0].push_timeout: 5 prompts"},
		{"exempt", minimal + "    exempt_client: true\n", "7: warning: clients[0].exempt_client: "},
		{"everyone", strings.Replace(minimal, "203.0.113.0/24", "0.0.0.0/0", 1), "5: warning: clients[0].addresses: 0.0.0.0/0 is every address"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c, err := loadText(t, tt.text, testKnown())
			if err != nil {
				t.Fatal(err)
			}
			if !strings.Contains(c.Warnings.Error(), tt.want) {
				t.Errorf("got\n%v\nwant %s", c.Warnings, tt.want)
			}
		})
	}
	c, err := loadText(t, minimal+"web: {public_url: 'https://mfa.example.org'}\n", testKnown())
	if err != nil || len(c.Warnings) != 0 {
		t.Errorf("a good file: got %v %v; want no error, no Warnings", err, c.Warnings)
	}
}

func TestReadableFiles(t *testing.T) {
	dir := t.TempDir()
	file, secret := filepath.Join(dir, "radmatch.yaml"), filepath.Join(dir, "vpn")
	inline := []byte(minimal + "web: {public_url: 'https://mfa.example.org'}\n")
	asFile := []byte(strings.Replace(string(inline), "secret: 8-PtwkGzXq2vNc4LrT", "secret_file: vpn", 1))
	for _, tt := range []struct {
		name         string
		text         []byte
		mode, secret os.FileMode
		want         string
	}{
		{"private", inline, 0o600, 0o600, ""},
		{"group", inline, 0o640, 0o640, ""},
		{"config with a secret", inline, 0o644, 0o600, "warning: it has secrets and everyone"},
		{"config without", asFile, 0o644, 0o600, ""},
		{"secret file", asFile, 0o600, 0o644, ":6: warning: clients[0].secret_file: everyone"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			write(t, file, tt.text, tt.mode)
			write(t, secret, []byte("8-PtwkGzXq2vNc4LrT\r\n"), tt.secret)
			c, err := Load(file, testKnown())
			if err != nil {
				t.Fatal(err)
			}
			if got := c.Warnings.Error(); (got == "") != (tt.want == "") || !strings.Contains(got, tt.want) {
				t.Errorf("got %q, want %q", got, tt.want)
			}
			if join2(c.Clients[0].Secret) != "8-PtwkGzXq2vNc4LrT" {
				t.Error("got another secret than that of the file; want the same")
			}
		})
	}
}

func write(t *testing.T, file string, data []byte, mode os.FileMode) {
	t.Helper()
	if err := os.WriteFile(file, data, mode); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(file, mode); err != nil {
		t.Fatal(err)
	}
}

func TestSecretsDoNotPrint(t *testing.T) {
	c, err := loadText(t, minimal, testKnown())
	if err != nil {
		t.Fatal(err)
	}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x"} {
		if got := fmt.Sprintf(verb, *c); strings.Contains(got, "PtwkGz") || strings.Contains(got, fmt.Sprintf("%x", "PtwkGz")) {
			t.Errorf("%s: %s", verb, got)
		}
	}
}

func TestUnreadable(t *testing.T) {
	dir := t.TempDir()
	big := filepath.Join(dir, "big.yaml")
	if err := os.WriteFile(big, make([]byte, load.MaxFile+1), 0o600); err != nil {
		t.Fatal(err)
	}
	for file, want := range map[string]string{
		filepath.Join(dir, "none.yaml"): "none.yaml: must be readable: no such file or directory",
		dir:                             ": must be readable: is a directory",
		big:                             "big.yaml: must be at most 10 MiB",
	} {
		if _, err := Load(file, testKnown()); err == nil || !strings.HasSuffix(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}

// TestUnfold is a file of some hundred octets that unfolds to billions of keys.
func TestUnfold(t *testing.T) {
	text := "clients:\n- &a {name: a, addresses: &b [" + strings.Repeat("10.0.0.1,", 1000) + "]}\n" + strings.Repeat("- *a\n", 2000)
	_, err := loadText(t, text, testKnown())
	if err == nil || !strings.Contains(err.Error(), "the file unfolds to too much") {
		t.Errorf("got %.300s", fmt.Sprint(err))
	}
	if n := strings.Count(err.Error(), "\n"); n > load.MaxProblems {
		t.Errorf("%d lines", n)
	}
}

func FuzzLoad(f *testing.F) {
	for _, pattern := range []string{"ok/*.yaml", "bad/*.yaml"} {
		files, err := filepath.Glob(filepath.Join("../testdata/config", pattern))
		if err != nil {
			f.Fatal(err)
		}
		for _, file := range files {
			data, err := os.ReadFile(file)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(data)
		}
	}
	known := testKnown()
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := read(newReport("radmatch.yaml"), "radmatch.yaml", data, known)
		if (c == nil) != (err != nil) {
			t.Fatalf("config %v and error %v", c, err)
		}
	})
}

// TestWayAroundNumber: MS-CHAPv2 beside a number in the prompt is warned of.
func TestWayAroundNumber(t *testing.T) {
	shows, hides := "prompts: true\nshows_reply_message: true\n", "prompts: true\nshows_reply_message: false\n"
	for name, tt := range map[string]struct {
		keys string
		warn bool
	}{
		"both open":        {shows + "number_in_prompt: true", true},
		"only PAP":         {shows + "number_in_prompt: true\ncredentials: [pap]", false},
		"required":         {shows + "number_in_prompt: true\nrequire_number_matching: true", false},
		"no prompt":        {"prompts: false\nnumber_in_prompt: true", false},
		"hidden text":      {hides + "number_from_device: true", true},
		"hidden, PAP only": {hides + "number_from_device: true\ncredentials: [pap]", false},
		"neither":          {shows + "append: off", false},
	} {
		keys := "    " + strings.ReplaceAll(tt.keys, "\n", "\n    ") + "\n"
		c, err := loadText(t, minimal+keys, testKnown())
		if err != nil {
			t.Fatalf("%s: got error %v; want none", name, err)
		}
		warned := slices.ContainsFunc(c.Warnings, func(p Problem) bool { return strings.Contains(p.Rule, "MS-CHAPv2") })
		if warned != tt.warn {
			t.Errorf("%s: warnings %v", name, c.Warnings)
		}
	}
	for _, bad := range []string{"[]", "[chap]"} {
		if _, err := loadText(t, minimal+"    credentials: "+bad+"\n", testKnown()); err == nil || !strings.Contains(err.Error(), "clients[0].credentials") {
			t.Errorf("credentials: %s: got %v; want \"clients[0].credentials\" in the error", bad, err)
		}
	}
}
