package admin

import (
	"strings"
	"testing"
	"time"

	"github.com/radmatch/radmatch/mfa"
)

func TestCheckBypass(t *testing.T) {
	for _, tt := range []struct {
		name          string
		group, reason string
		d             time.Duration
		want          string
	}{
		{"good", "Domain Users", "Störung, INC-4711", 24 * time.Hour, ""},
		{"no group", " ", "x", time.Hour, "group or user must be there"},
		{"no reason", "staff", "\t", time.Hour, "reason must be there"},
		{"everyone", "All_Users", "x", time.Hour, "must be one group"},
		{"short", "staff", "x", time.Millisecond, "for must be from 1s"},
		{"long", "staff", "x", 24*time.Hour + 1, "for must be from 1s to 24h"},
		{"long reason", "staff", strings.Repeat("x", 201), time.Hour, "at most 200 octets"},
		{"line feed", "staff", "x\nWARNING", time.Hour, "plain text"},
		{"escape", "st\x1b[2Jaff", "x", time.Hour, "plain text"},
		{"turned around", "staff", "x\u202ey", time.Hour, "plain text"},
		{"no text", "staff", "\xff", time.Hour, "plain text"},
	} {
		err := CheckBypass(&mfa.Bypass{Group: mfa.GroupOf(tt.group), Reason: tt.reason}, tt.d)
		if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
			t.Errorf("%s: got %v, want %q", tt.name, err, tt.want)
		}
	}
}
