package store

import "testing"

// The statistics of a server that learned what its clients wait are read without that.
func TestOldStats(t *testing.T) {
	s := quiet(t, Options{Dir: t.TempDir()})
	const old = `{"client":"vpn","packets":9,"abandoned":8,"learned_budget_ns":1600000000,` +
		`"waits":[{"at":"2026-11-01T10:00:00Z","for_ns":1600000000,"again_ns":800000000}]}`
	_, err := beside(t, s).Exec(`INSERT INTO stats (client, data) VALUES ('vpn', ?)`, []byte(old))
	must(t, err)
	got, err := s.ClientStats(t.Context())
	must(t, err)
	if len(got) != 1 || got[0].Client != "vpn" || got[0].Packets != 9 || got[0].Late != 0 {
		t.Errorf("got %+v", got)
	}
}
