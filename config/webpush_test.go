package config

import (
	"strings"
	"testing"
)

func TestWebPushKeys(t *testing.T) {
	for text, want := range map[string]bool{
		"fcm.googleapis.com": true, "*.notify.windows.com": true, "127.0.0.1:8443": true, "push": true,
		"": false, "*": false, "*.com": false, "a..b": false, "a.b.": false, ".a": false, "https://a.b": false, "a.b/": false,
		"a.b:0": false, "a.b:65536": false, "a.b:": false, "A.b": false, "a@b.c": false, "*.*.a.b": false, "[::1]:443": false,
		strings.Repeat("a.", 130) + "b": false,
	} {
		if got := isPushService(text); got != want {
			t.Errorf("service %q: got %v", text, got)
		}
	}
	for text, want := range map[string]bool{
		"mailto:postmaster@example.org": true, "https://example.org/contact": true,
		"postmaster@example.org": false, "mailto:": false, "mailto:Post <a@b.c>": false, "http://example.org": false, "https://": false, "https://a:b@c": false,
		"https://a:b@example.org": false, "mailto:root@localhost": false, "mailto:root@mail": false, "https://localhost": false, "https://LOCALHOST.": false,
		"https://radmatch": false, "https://mfa.localhost": false, "https://192.0.2.1": false, "https://[2001:db8::1]": false, "https://example.org.": true,
		"https://mfa.example.org:8443": true,
	} {
		if got := isContact(text); got != want {
			t.Errorf("contact %q: got %v", text, got)
		}
	}
	for _, tt := range []struct {
		web  Web
		want string
	}{
		{Web{PublicURL: "https://mfa.example.org"}, "https://mfa.example.org"},
		{Web{PublicURL: "http://mfa.example.org"}, ""},
		{Web{PublicURL: "https://radmatch"}, ""},
		{Web{PublicURL: "https://mfa.example.org", PushContact: "mailto:a@b.c"}, "mailto:a@b.c"},
	} {
		if got := (&Config{Web: tt.web}).PushContact(); got != tt.want {
			t.Errorf("%+v: got %q", tt.web, got)
		}
	}
	if _, err := loadText(t, minimal+"web: {push_services: [], push_contact: 'mailto:a@b.c'}\n", testKnown()); err == nil ||
		!strings.Contains(err.Error(), "7: web.push_contact: must not be there where web.push_services is empty") {
		t.Errorf("got %v", err)
	}
	c, err := loadText(t, minimal+"web: {push_services: []}\n", testKnown())
	if err != nil || len(c.Web.PushServices) != 0 {
		t.Errorf("off: got %v, %v", c, err)
	}
}
