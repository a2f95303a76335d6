package login

import (
	"fmt"
	"github.com/radmatch/radmatch/mfa"
	"os"
	"regexp"
	"strings"
	"testing"
)

// TestLoginPages holds the pages on logins against the plan table, the reasons and
// the texts of the code.
func TestLoginPages(t *testing.T) {
	var page, plans string
	for _, name := range []string{"login", "plans", "append", "prompts", "limits"} {
		b, err := os.ReadFile("../../docs/" + name + ".md")
		if err != nil {
			t.Fatal(err)
		}
		page += string(b)
		if name == "plans" {
			plans = string(b)
		}
	}
	rows := regexp.MustCompile(`(?m)^\| (\d+) \| (.*?) \|`).FindAllStringSubmatch(plans, -1)
	if len(rows) != len(mfa.PlanTable()) {
		t.Fatalf("got %d lines in plans.md; want the %d of the table", len(rows), len(mfa.PlanTable()))
	}
	for i, l := range mfa.PlanTable() {
		if rows[i][1] != fmt.Sprint(l.N) || rows[i][2] != l.If {
			t.Errorf("got line %s %q in plans.md; want %d %q", rows[i][1], rows[i][2], l.N, l.If)
		}
	}
	src, err := os.ReadFile("../policy.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range regexp.MustCompile(`Reason = "(\w+)"`).FindAllStringSubmatch(string(src), -1) {
		if !strings.Contains(page, "`"+m[1]+"`") && m[1] != string(mfa.ReasonAbandoned) { // an unclaimed approval's
			t.Errorf("the pages do not explain %s", m[1])
		}
	}
	for _, text := range []string{messageRejected, messageEnterCode, messageWrongCode, messageNumber, messageNumberCode, messageNumberWrong, messageApprove, messageApproveCode, messageApproveBad, messageAnswer, messageDeviceCode, messageDeviceBad} {
		if !strings.Contains(page, strings.ReplaceAll(text, "%s", "42")) {
			t.Errorf("the pages lack %q", text)
		}
	}
}
