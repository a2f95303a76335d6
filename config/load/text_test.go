package load

import (
	"testing"
	"time"
)

func TestParseDuration(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"55s": 55 * time.Second, "1m30s": 90 * time.Second, "180d": 180 * 24 * time.Hour, "1d12h": 36 * time.Hour,
		"0s": 0, "0": 0, "500ms": 500 * time.Millisecond, "65535d": 65535 * 24 * time.Hour,
	} {
		if got, err := parseDuration(text); got != want || err != nil {
			t.Errorf("%q: got %v, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "d", "55", "-1s", "1d-1h", "-1d", "1.5d", "65536d", "1w", "1 d", "5s1d", "9999999h", "65535d2562047h", "1dd"} {
		if got, err := parseDuration(text); err == nil {
			t.Errorf("%q: got %v", text, got)
		}
	}
}

func TestParseSize(t *testing.T) {
	for text, want := range map[string]Size{"2GiB": 2 << 30, "500 MiB": 500 << 20, "1KB": 1000, "7B": 7, "1TiB": 1 << 40} {
		if got, err := parseSize(text); got != want || err != nil {
			t.Errorf("%q: got %d, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "2", "GiB", "-1GiB", "1.5GiB", "2 gigs", "2gib", "99999999TiB", "9223372036854775808B"} {
		if got, err := parseSize(text); err == nil {
			t.Errorf("%q: got %d", text, got)
		}
	}
	for size, want := range map[Size]string{2 << 30: "2GiB", 1000: "1KB", 0: "0B", 7: "7B"} {
		if got := size.String(); got != want {
			t.Errorf("%d: got %s", int64(size), got)
		}
	}
}
