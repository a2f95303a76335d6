package conn

import (
	"strings"

	goldap "github.com/go-ldap/ldap/v3"
)

// Escape makes a text from the network harmless in a filter (RFC 4515 §3).
func Escape(text string) string { return goldap.EscapeFilter(text) }

// CheckFilter returns what is wrong with a filter.
func CheckFilter(filter string) error {
	_, err := goldap.CompileFilter(filter)
	return err
}

// FirstRDN returns the first attribute of a DN, in lower case, and its value.
func FirstRDN(dn string) (attribute, value string) {
	parsed, err := goldap.ParseDN(dn)
	if err != nil || len(parsed.RDNs) == 0 || len(parsed.RDNs[0].Attributes) == 0 {
		return "", ""
	}
	first := parsed.RDNs[0].Attributes[0]
	return strings.ToLower(first.Type), first.Value
}

// IsDN reports whether text is a DN, and not an empty one.
func IsDN(text string) bool {
	parsed, err := goldap.ParseDN(text)
	return err == nil && len(parsed.RDNs) > 0
}

// DomainOfDN is the domain that a DN is in, as a DN: its last dc= parts. It is
// empty where there are none.
func DomainOfDN(dn string) string {
	parsed, err := goldap.ParseDN(dn)
	if err != nil {
		return ""
	}
	domain := &goldap.DN{}
	for i := len(parsed.RDNs) - 1; i >= 0 && strings.EqualFold(parsed.RDNs[i].Attributes[0].Type, "dc"); i-- {
		domain.RDNs = parsed.RDNs[i:]
	}
	return domain.String()
}

// DNSDomainOf is the domain that a DN is in, as a DNS name. It is empty where
// there is none.
func DNSDomainOf(dn string) string {
	parsed, err := goldap.ParseDN(DomainOfDN(dn))
	if err != nil {
		return ""
	}
	var labels []string
	for _, rdn := range parsed.RDNs {
		if len(rdn.Attributes) != 1 {
			return ""
		}
		labels = append(labels, rdn.Attributes[0].Value)
	}
	return strings.Join(labels, ".")
}

// IsBelow reports whether a DN is base or below it.
func IsBelow(dn, base string) bool {
	d, err := goldap.ParseDN(dn)
	b, errBase := goldap.ParseDN(base)
	return err == nil && errBase == nil && (b.EqualFold(d) || b.AncestorOfFold(d))
}
