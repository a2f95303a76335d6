package front

import (
	"crypto/tls"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/radmatch/radmatch/mfa/web/webtest"
)

// TestCertificateProblems: a certificate of mfa.example.org, from two days ago until in
// ninety, which this machine does not trust.
func TestCertificateProblems(t *testing.T) {
	now := time.Now()
	pair, err := tls.X509KeyPair(webtest.Certificate(t, 1, now.Add(90*24*time.Hour)))
	if err != nil {
		t.Fatal(err)
	}
	const untrusted = "this machine knows no authority"
	for _, tt := range []struct {
		name string
		host string
		at   time.Duration // from now
		want []string      // how each begins
	}{
		{"good, except for its authority", "mfa.example.org", 0, []string{untrusted}},
		{"another host", "vpn.example.org", 0, []string{"the certificate is not for vpn.example.org, the host of web.public_url, but for mfa.example.org", untrusted}},
		{"soon", "mfa.example.org", 88 * 24 * time.Hour, []string{"the certificate expires in 1 days", untrusted}},
		{"expired", "mfa.example.org", 91 * 24 * time.Hour, []string{"the certificate has expired", untrusted}},
		{"not yet", "mfa.example.org", -72 * time.Hour, []string{"the certificate is not valid before", untrusted}},
	} {
		got := CertificateProblems(&pair, tt.host, now.Add(tt.at))
		if !slices.EqualFunc(got, tt.want, strings.HasPrefix) {
			t.Errorf("%s: got %q; want %q", tt.name, got, tt.want)
		}
	}
}
