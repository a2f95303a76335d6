package store_test

import (
	"bytes"
	"testing"
	"time"

	"github.com/radmatch/radmatch/mfa/store"
	"github.com/radmatch/radmatch/mfa/store/postgrestest"
	"github.com/radmatch/radmatch/mfa/web/webtest"
)

// TestOffers: what one node keeps for the next request another has, once, sealed, under the
// key that it was kept under; the sweep removes what nobody took.
func TestOffers(t *testing.T) {
	single, err := store.Open(t.Context(), store.Options{Dir: t.TempDir(), Server: true})
	if err != nil {
		t.Fatal(err)
	}
	defer single.Close()
	if o := single.Offers(); o != nil {
		t.Errorf("the only server: got %v; want no place for offers of others", o)
	}
	server := postgrestest.Shared(t)
	database := server.NewDatabase(t)
	options := site(t, server.URL(database), "none")
	first := openNode(t, options("a"))
	a, b := first.Offers(), openNode(t, options("b")).Offers()
	if may, err := first.Certificates().MayOrder(t.Context(), "ca"); err != nil || !may { // has a row there too
		t.Fatalf("got %t, %v; want the lease", may, err)
	}
	// All but 16 of the 4,096 there are.
	server.Exec(t, database, `INSERT INTO offers SELECT 'offer ' || i, 9e18::bigint, '' FROM generate_series(1, 4080) i`)
	over := func() {
		server.Exec(t, database, `UPDATE offers SET expires = 1 WHERE expires < 9e18 AND id LIKE 'offer %'`)
	}
	webtest.TestOffers(t, a, b, 16, over)

	over()
	for server.Count(t, database, `SELECT count(*) FROM offers WHERE expires = 1`) > 0 { // one node sweeps at a time
		if err := first.Tidy(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	server.Exec(t, database, `DELETE FROM offers WHERE expires = 9e18`)
	if n := server.Count(t, database, `SELECT count(*) FROM offers`); n != 1 {
		t.Errorf("got %d rows after a sweep; want only the lease", n)
	}
	secret := []byte("a challenge")
	for key, data := range map[string][]byte{"mine": secret, "other": []byte("x")} {
		if kept, err := a.KeepOffer(t.Context(), key, data, time.Minute); err != nil || !kept {
			t.Fatalf("got %t, %v; want it kept", kept, err)
		}
	}
	if n := server.Count(t, database, `SELECT count(*) FROM offers WHERE position($1 IN data) > 0 OR position('mine' IN id) > 0`, secret); n != 0 {
		t.Errorf("got %d rows that show what is kept, or whose it is; want none", n)
	}
	server.Exec(t, database, `UPDATE offers SET data = (SELECT data FROM offers WHERE id LIKE 'offer %' ORDER BY length(data) DESC LIMIT 1) WHERE id LIKE 'offer %'`)
	if got, err := b.TakeOffer(t.Context(), "other"); err != nil || got != nil {
		t.Errorf("of another key: got %q, %v; want nothing", got, err)
	}
	if got, err := b.TakeOffer(t.Context(), "mine"); err != nil || !bytes.Equal(got, secret) {
		t.Errorf("got %q, %v; want %q", got, err, secret)
	}
	if kept, err := a.KeepOffer(t.Context(), "large", make([]byte, 9<<10), time.Minute); err == nil || kept {
		t.Errorf("too large: got %t, %v; want an error", kept, err)
	}
	server.Exec(t, database, `ALTER TABLE offers RENAME TO away`)
	if kept, err := a.KeepOffer(t.Context(), "mine", secret, time.Minute); err == nil || kept {
		t.Errorf("without the table: got %t, %v; want an error", kept, err)
	}
	if got, err := b.TakeOffer(t.Context(), "mine"); err == nil || got != nil {
		t.Errorf("without the table: got %q, %v; want an error", got, err)
	}
}
