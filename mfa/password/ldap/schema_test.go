package ldap

import (
	"github.com/radmatch/radmatch/mfa/password/ldap/conn"
	"reflect"
	"testing"
)

func TestSchema(t *testing.T) {
	s := schema{}
	for _, definition := range []string{
		`( 2.5.4.4 NAME ( 'sn' 'surname' ) DESC 'RFC2256: last (family) name(s)' SUP name )`,
		`( 0.9.2342.19200300.100.1.3 NAME ('mail' 'rfc822Mailbox') DESC 'x' )`,
		"(2.5.4.11\tNAME  'ou' SYNTAX 1.3.6.1.4.1.1466.115.121.1.15 )",
		`( department-oid NAME 'departmentNumber' DESC 'NAME ( 'no' )' )`,
		`( 1.2.3 DESC 'without a name' )`, `( 1.2.4 NAME )`, `( 1.2.5 NAME ( ) )`, `(`, ``,
	} {
		s.learn(definition)
	}
	for asked, want := range map[string]string{
		"surname": "sn", "SurName": "sn", "sn": "sn", "SN": "sn", "2.5.4.4": "sn", "surname;lang-de": "sn;lang-de",
		"rfc822mailbox": "mail", "2.5.4.11": "ou", "departmentNumber": "departmentNumber", "no": "no", "unknown": "unknown", "": "",
	} {
		if got := s.name(asked); got != want {
			t.Errorf("%q: got %q, want %q", asked, got, want)
		}
	}
	if s.has("no") || s.has("1.2.3") || !s.has("surname;lang-de") {
		t.Errorf("has: %v", s)
	}
	if got := schema(nil).name("surname"); got != "surname" {
		t.Errorf("no schema: got %q", got)
	}
}

// TestForeignAttribute: an answer under another name than was asked for is seen,
// where no schema has told it.
func TestForeignAttribute(t *testing.T) {
	d := &directory{attributes: []string{"uid", "surname", "member;range=0-99"}}
	for name, want := range map[string]string{"sn": "sn", "UID": "", "surname;lang-de": "", "member;range=0-1": "", "cn;lang-en": "cn"} {
		e := &conn.Entry{Attributes: map[string][]string{name: {"x"}}}
		if got := d.foreign(e); got != want {
			t.Errorf("%s: got %q, want %q", name, got, want)
		}
	}
}

// TestDirectoryOf: what the operator has named is asked for by the directory's names.
func TestDirectoryOf(t *testing.T) {
	names := schema{"userid": "uid", "surname": "sn", "rfc822mailbox": "mail"}
	l := &Primary{settings: &Settings{LoginAttribute: "userid", AlternateLoginAttribute: "rfc822Mailbox",
		Reply: []Reply{{"Filter-Id", "surname"}, {"Class", "sn"}}}}
	d := l.directoryOf(false, names)
	if d.login.attribute != "uid" || d.login.alternate != "mail" || d.reply[0] != (Reply{"Filter-Id", "sn"}) {
		t.Errorf("got %+v", d)
	}
	if want := []string{"mail", "sn", "uid", "userAccountControl"}; !reflect.DeepEqual(d.attributes, want) {
		t.Errorf("asks for %q, want %q", d.attributes, want)
	}
}
