package store_test

import (
	"bytes"
	"errors"
	"testing"

	"github.com/radmatch/radmatch/mfa"
	"github.com/radmatch/radmatch/mfa/store"
	"github.com/radmatch/radmatch/mfa/store/postgrestest"
)

// TestCertificates: what one node keeps the others have, sealed, under the name it was kept
// under; a new sealing key holds for it; one node orders at a time.
func TestCertificates(t *testing.T) {
	single, err := store.Open(t.Context(), store.Options{Dir: t.TempDir(), Server: true})
	if err != nil {
		t.Fatal(err)
	}
	defer single.Close()
	if c := single.Certificates(); c != nil {
		t.Errorf("the only server: got %v; want no place for certificates of others", c)
	}
	server := postgrestest.Shared(t)
	database := server.NewDatabase(t)
	options := site(t, server.URL(database), "none")
	a, b := openNode(t, options("a")), openNode(t, options("b"))
	at, other, ctx := a.Certificates(), b.Certificates(), t.Context()
	secret := []byte("the key of a certificate")
	check := func(what, name string, want []byte) {
		t.Helper()
		if got, err := other.Certificate(ctx, name); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s: got %q, %v; want %q", what, got, err, want)
		}
	}
	check("nothing", "ca/x", nil)
	for _, name := range []string{"ca/x", "ca/y"} {
		if err := at.KeepCertificate(ctx, name, secret); err != nil {
			t.Fatal(err)
		}
	}
	check("kept", "ca/x", secret)
	if n := server.Count(t, database, `SELECT count(*) FROM acme WHERE position($1 IN data) > 0`, secret); n != 0 {
		t.Errorf("got %d rows that are not sealed; want none", n)
	}
	if names, err := other.CertificateNames(ctx); err != nil || len(names) != 2 {
		t.Errorf("got %v, %v; want two names", names, err)
	}
	server.Exec(t, database, `INSERT INTO acme SELECT 'ca/moved', data FROM acme WHERE name = 'ca/x'`)
	check("under another name", "ca/moved", nil)
	if err := at.KeepCertificate(ctx, "ca/y", nil); err != nil {
		t.Fatal(err)
	}
	check("removed", "ca/y", nil)
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	err = store.ErrLacking
	for errors.Is(err, store.ErrLacking) { // until it has told the others which keys it has
		_, err = a.Rekey(ctx, mfa.Event{})
	}
	if err != nil {
		t.Fatal(err)
	}
	other = openNode(t, options("c")).Certificates()
	check("after a rekey", "ca/x", secret)
	if n := server.Count(t, database, `SELECT count(*) FROM acme WHERE get_byte(data, 0) <> (SELECT id FROM seal_key)`); n != 0 {
		t.Errorf("%d rows have the key from before", n)
	}
}

// TestOneOrders: one node of a site asks an authority at a time, until it has had the time for it.
func TestOneOrders(t *testing.T) {
	server := postgrestest.Shared(t)
	database := server.NewDatabase(t)
	options := site(t, server.URL(database), "none")
	a, b := openNode(t, options("a")).Certificates(), openNode(t, options("b")).Certificates()
	may := func(want bool, c store.Certificates, what, authority string) {
		t.Helper()
		if got, err := c.MayOrder(t.Context(), authority); err != nil || got != want {
			t.Errorf("%s: got %t, %v; want %t", what, got, err, want)
		}
	}
	may(true, a, "the first", "ca")
	may(false, b, "another", "ca")
	may(true, a, "the first again", "ca")
	may(true, b, "of another authority", "test-ca")
	server.Exec(t, database, `UPDATE offers SET expires = 0`)
	may(true, b, "another, later", "ca")
	may(false, a, "the first, later", "ca")
}
