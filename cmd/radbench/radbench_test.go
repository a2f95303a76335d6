package main

import (
	"encoding/base32"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"
)

func TestMedian(t *testing.T) {
	for _, c := range []struct {
		in   []float64
		want float64
	}{{nil, 0}, {[]float64{3}, 3}, {[]float64{9, 1}, 5}, {[]float64{5, 1, 3}, 3}, {[]float64{4, 1, 3, 2}, 2.5}} {
		if got := median(c.in); got != c.want {
			t.Errorf("median of %v is %v, want %v", c.in, got, c.want)
		}
	}
}

func TestTokenSecret(t *testing.T) {
	seen := map[string]bool{}
	for i := range 1000 {
		s := tokenSecret(i)
		key, err := base32.StdEncoding.DecodeString(s)
		if err != nil || len(key) != 20 || seen[s] {
			t.Fatalf("user %d: %q: %v", i, s, err)
		}
		seen[s] = true
	}
}

// The ratios that `make bench` is about are taken run by run, then their median.
func TestMedians(t *testing.T) {
	var out strings.Builder
	b := &bench{out: &out, levels: []int{16}, pairs: 3}
	pairs := map[int][]pair{}
	for _, ours := range []float64{10, 20, 90} {
		pairs[16] = append(pairs[16], pair{ours: &result{report: report{Rate: ours, P50: ours, P99: ours}, cpu: ours, resident: ours},
			theirs: &result{report: report{Rate: 40, P50: 40, P99: 40}, cpu: 40, resident: 40}})
	}
	b.medians(pairs, maxCPU)
	if want := "16      0.50     0.50     0.50      0.50      0.50   CPU reached (0.7), p99 reached (1.2)"; !strings.Contains(out.String(), want) {
		t.Errorf("got\n%s\nwant a line with %q", out.String(), want)
	}
}

func TestJudge(t *testing.T) {
	b := &bench{}
	s := &server{name: radmatchName}
	b.judge(s, load{logins: 10}, &result{report: report{Logins: 10, Accepted: 10, Retransmitted: 3}})
	if len(b.failures) != 0 || b.accepted != 10 {
		t.Errorf("ten of ten: got %v, %d; want no failures, accepted 10", b.failures, b.accepted)
	}
	for _, r := range []report{{Rejected: 1}, {Unexpected: 1}, {Lost: 1}, {Invalid: 1}} {
		b.failures = nil
		b.judge(s, load{logins: 10}, &result{report: r})
		b.judge(&server{name: freeradiusName}, load{logins: 10}, &result{report: r})
		if len(b.failures) != 1 {
			t.Errorf("%+v: failures %v; want 1 failures", r, b.failures)
		}
	}
}

func TestEcho(t *testing.T) {
	c, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	go func() {
		buf := make([]byte, packetSize)
		for lost := false; ; lost = true {
			n, from, err := c.ReadFrom(buf)
			if err != nil {
				return
			}
			if lost { // the first packet gets no answer
				c.WriteTo(buf[:n], from)
			}
		}
	}()
	client, err := net.Dial("udp", c.LocalAddr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if err := exchange(client); err != nil {
		t.Error(err)
	}
}

// FreeRADIUS takes the configuration.
func TestFreeRADIUSTakesConfiguration(t *testing.T) {
	const freeradius = "/usr/sbin/freeradius"
	if _, err := os.Stat(freeradius); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	s := site{dir: t.TempDir(), users: 3}
	if err := s.write(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(s.path("freeradius", "schema.sql"), []byte(keeperSchema), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name string
		keep *strings.Replacer
	}{{"radiusd", freeradiusAlone}, {"keeper", freeradiusKeeping}} {
		if err := s.writeFreeRADIUS(tt.name, 18120, 2, tt.keep); err != nil {
			t.Fatal(err)
		}
		out, err := exec.Command(freeradius, "-C", "-X", "-n", tt.name, "-d", s.path("freeradius")).CombinedOutput()
		if err != nil || !strings.Contains(string(out), "Configuration appears to be OK") {
			t.Errorf("%s: %v\n%s; want no error, \"Configuration appears to be OK\" in it", tt.name, err, out)
		}
	}
}

// The ratios of a fixed offered load are taken round by round, then their median.
func TestOfferedMedians(t *testing.T) {
	var out strings.Builder
	b := &bench{out: &out, pairs: 3}
	runs := map[int][]trio{}
	for _, o := range offeredLoads {
		for _, ours := range []float64{10, 20, 90} {
			var r trio
			for i, v := range []float64{ours, 10, 40} {
				r[i] = &result{report: report{Rate: v, P50: v, P99: v}, cpu: v, resident: v}
			}
			runs[o.rate] = append(runs[o.rate], r)
		}
	}
	b.offeredMedians(runs)
	for _, want := range []string{
		"FreeRADIUS          2000     2.00     2.00      2.00   CPU MISSED (1.3), p99 MISSED (1.2)",
		"FreeRADIUS+SQL      2000     0.50     0.50      0.50   CPU reached (0.6), p99 reached (1.2)",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("got\n%s\nwant a line %q", out.String(), want)
		}
	}
}
