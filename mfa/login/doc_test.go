package login

import (
	"fmt"
	"github.com/radmatch/radmatch/mfa"
	"os"
	"regexp"
	"strings"
	"testing"
)

// TestLoginPage holds docs/login.md against the plan table, the reasons and the
// texts of the code.
func TestLoginPage(t *testing.T) {
	b, err := os.ReadFile("../../docs/login.md")
	if err != nil {
		t.Fatal(err)
	}
	page := string(b)
	rows := regexp.MustCompile(`(?m)^\| (\d+) \| (.*?) \|`).FindAllStringSubmatch(page, -1)
	if len(rows) != len(mfa.PlanTable()) {
		t.Fatalf("the page has %d lines, the table %d", len(rows), len(mfa.PlanTable()))
	}
	for i, l := range mfa.PlanTable() {
		if rows[i][1] != fmt.Sprint(l.N) || rows[i][2] != l.If {
			t.Errorf("the page says %s %q, the table %d %q", rows[i][1], rows[i][2], l.N, l.If)
		}
	}
	src, err := os.ReadFile("../policy.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range regexp.MustCompile(`Reason = "(\w+)"`).FindAllStringSubmatch(string(src), -1) {
		if !strings.Contains(page, "`"+m[1]+"`") && m[1] != string(mfa.ReasonAbandoned) { // an unclaimed approval's
			t.Errorf("the page does not explain %s", m[1])
		}
	}
	for _, text := range []string{messageRejected, messageEnterCode, messageWrongCode, messageNumber, messageNumberCode, messageNumberWrong, messageApprove, messageApproveCode, messageApproveBad, messageAnswer, messageDeviceCode, messageDeviceBad} {
		if !strings.Contains(page, strings.ReplaceAll(text, "%s", "42")) {
			t.Errorf("the page lacks %q", text)
		}
	}
}
