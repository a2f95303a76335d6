package nas

import "testing"

// RFC 6238 appendix B, the last six digits.
func TestBenchCode(t *testing.T) {
	key := []byte("12345678901234567890")
	for seconds, want := range map[int64]string{59: "287082", 1111111109: "081804", 1234567890: "005924", 20000000000: "353130"} {
		if got := benchCode(key, seconds/benchStep); got != want {
			t.Errorf("at %d s: got %s, want %s", seconds, got, want)
		}
	}
}
