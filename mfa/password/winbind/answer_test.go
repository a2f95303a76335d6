package winbind

import (
	"bufio"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/radmatch/radmatch/mfa"
)

const (
	aKey     = "000102030405060708090A0B0C0D0E0F"
	rightKey = "Authenticated: Yes\nUser-Session-Key: " + aKey + "\n.\n"
)

func TestReadNTLMReply(t *testing.T) {
	for _, c := range []struct {
		name, in string
		right    bool
		wantErr  string
	}{
		{"right", rightKey, true, ""},
		{"right after a refusal", ".\n" + rightKey, true, ""},
		{"refused", "Authenticated: No\nAuthentication-Error: No\n.\n.\n", false, ""},
		{"refused without a reason", "Authenticated: No\n.\n", false, ""},
		{"nothing", "", false, "ended"},
		{"only the end", ".\n", false, "ended"},
		{"ends many times", strings.Repeat(".\n", maxLines) + rightKey, false, "without an end"},
		{"cut", "Authenticated: Yes\nUser-Session-Key: " + aKey + "\n", false, "ended"},
		{"cut in the last line", rightKey[:len(rightKey)-1], false, "ended"},
		{"no verdict", "User-Session-Key: " + aKey + "\n.\n", false, "contradicts"},
		{"no key", "Authenticated: Yes\n.\n", false, "session key"},
		{"key of zeros", "Authenticated: Yes\nUser-Session-Key: " + strings.Repeat("0", 32) + "\n.\n", false, "session key"},
		{"short key", "Authenticated: Yes\nUser-Session-Key: 00\n.\n", false, "unexpected"},
		{"long key", "Authenticated: Yes\nUser-Session-Key: " + aKey + "00\n.\n", false, "unexpected"},
		{"key is not hex", "Authenticated: Yes\nUser-Session-Key: x" + aKey[1:] + "\n.\n", false, "unexpected"},
		{"both verdicts", "Authenticated: No\nAuthenticated: Yes\nUser-Session-Key: " + aKey + "\n.\n", false, "unexpected"},
		{"refused with a key", "Authenticated: No\nUser-Session-Key: " + aKey + "\n.\n", false, "contradicts"},
		{"right with an error", "Authenticated: Yes\nUser-Session-Key: " + aKey + "\nAuthentication-Error: x\n.\n", false, "contradicts"},
		{"neither yes nor no", "Authenticated: yes\nUser-Session-Key: " + aKey + "\n.\n", false, "unexpected"},
		{"carriage return", "Authenticated: Yes\r\n.\n", false, "unexpected"},
		{"error", "Error: No username supplied!\n.\n", false, "unexpected"},
		{"error before the verdict", "Error: x\n" + rightKey, false, "unexpected"},
		{"long line", "Authentication-Error: " + strings.Repeat("x", maxLine) + "\n.\n", false, "buffer full"},
	} {
		reply, err := readAnswer(bufio.NewReaderSize(strings.NewReader(c.in), maxLine))
		if reply.right != c.right || (err == nil) != (c.wantErr == "") || err != nil && !strings.Contains(err.Error(), c.wantErr) {
			t.Errorf("%s: got %+v, %v", c.name, reply, err)
		}
	}
}

// FuzzNTLMReply: whatever a helper says, only one exact form lets anyone in.
func FuzzNTLMReply(f *testing.F) {
	f.Add([]byte(rightKey))
	f.Add([]byte(".\n.\nAuthenticated: No\nAuthentication-Error: No\n.\n.\n"))
	f.Add([]byte("Error: x\n.\n"))
	f.Fuzz(func(t *testing.T, in []byte) {
		reply, err := readAnswer(bufio.NewReaderSize(strings.NewReader(string(in)), maxLine))
		if err != nil && reply != (answer{}) {
			t.Errorf("an answer came with the error %v", err)
		}
		if !reply.right {
			return
		}
		text := strings.TrimLeft(string(in), ".\n")
		key := fmt.Sprintf("User-Session-Key: %x\n", reply.key)
		low := strings.ToLower(text)
		if reply.key == [16]byte{} || !strings.HasPrefix(low, strings.ToLower("Authenticated: Yes\n"+key+".\n")) &&
			!strings.HasPrefix(low, strings.ToLower(key+"Authenticated: Yes\n.\n")) {
			t.Errorf("accepted %q", in)
		}
	})
}

func TestNTLMRefusals(t *testing.T) {
	for _, r := range refusals {
		err := (&answer{text: r.text}).refusal()
		var account *mfa.AccountError
		switch {
		case !errors.Is(err, mfa.ErrRejected):
			t.Errorf("%q: %v is no ErrRejected", r.text, err)
		case errors.As(err, &account) != (r.reason != mfa.ReasonWrongPassword):
			t.Errorf("%q: %v", r.text, err)
		case account != nil && (account.Reason != r.reason || account.Proven != r.proven):
			t.Errorf("%q: %+v", r.text, account)
		}
	}
}
