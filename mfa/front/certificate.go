package front

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/radmatch/radmatch/mfa/text"
)

// SoonTime is how long before its end a certificate is worth a warning.
const SoonTime = 14 * 24 * time.Hour

// CertificateProblems is why devices at host will not take a certificate, and
// when they soon will not.
func CertificateProblems(pair *tls.Certificate, host string, now time.Time) []string {
	var problems []string
	leaf := pair.Leaf
	add := func(format string, args ...any) { problems = append(problems, fmt.Sprintf(format, args...)) }
	switch left := leaf.NotAfter.Sub(now); {
	case left <= 0:
		add("the certificate has expired, %s: devices refuse it", leaf.NotAfter.Format(time.DateOnly))
	case now.Before(leaf.NotBefore):
		add("the certificate is not valid before %s: devices refuse it", leaf.NotBefore.Format(time.DateTime))
	case left < SoonTime:
		add("the certificate expires in %d days, %s", int(left.Hours()/24), leaf.NotAfter.Format(time.DateOnly))
	}
	if leaf.VerifyHostname(host) != nil {
		add("the certificate is not for %s, the host of web.public_url, but for %s: devices refuse it", host, CertificateNames(leaf))
	}
	between := x509.NewCertPool()
	for _, der := range pair.Certificate[1:] {
		if c, err := x509.ParseCertificate(der); err == nil {
			between.AddCert(c)
		}
	}
	// At a time when it was valid: of its validity all is said.
	_, err := leaf.Verify(x509.VerifyOptions{Intermediates: between, CurrentTime: leaf.NotBefore.Add(time.Second)})
	if unknown := (x509.UnknownAuthorityError{}); errors.As(err, &unknown) {
		add("this machine knows no authority that stands behind the certificate: put those between it and the root behind it into cert_file, " +
			"or install the root on every device")
	}
	return problems
}

// CertificateNames is what a certificate is for.
func CertificateNames(leaf *x509.Certificate) string {
	names := append([]string{}, leaf.DNSNames...)
	for _, ip := range leaf.IPAddresses {
		names = append(names, ip.String())
	}
	if len(names) == 0 {
		return "no name"
	}
	return text.Printable(strings.Join(names, ", "), 200)
}
