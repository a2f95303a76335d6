package password_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/radmatch/radmatch/mfa"
	"github.com/radmatch/radmatch/mfa/password"
	"github.com/radmatch/radmatch/mfa/password/passwordtest"
)

// TestSpellingsFile: a users file takes names for equal by their form, and can have
// no two of one form.
func TestSpellingsFile(t *testing.T) {
	users := passwordtest.NewOneUser(t)
	var names []string
	text := "users:\n"
	for _, name := range passwordtest.NearNames {
		if slices.ContainsFunc(names, func(n string) bool { return mfa.NameOf(n).Is(mfa.NameOf(name)) }) {
			continue
		}
		names = append(names, name)
		text += fmt.Sprintf("- {name: %q, password: '{NT}8846f7eaee8fb117ad06bdd830b7586c'}\n", name) // "password"
	}
	noReply := func(name, value string) (mfa.Attribute, error) { return mfa.Attribute{}, errors.New("no reply here") }
	path := filepath.Join(t.TempDir(), "users.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := password.OpenFile(path, noReply, password.NewGate())
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		for _, typed := range passwordtest.Spellings(name, 200) {
			sent := mfa.NameOf(typed)
			id, err := f.Check(t.Context(), sent, mfa.Password("password"))
			_, errWrong := f.Check(t.Context(), sent, mfa.Password("wrong"))
			wrong := (*mfa.UserError)(nil)
			counted := errors.As(errWrong, &wrong)
			if errWrong == nil || counted != (err == nil) {
				t.Errorf("%q: Check says %v, a wrong password %v", typed, err, errWrong)
			}
			if err != nil {
				continue // nobody's
			}
			account := id.Name.String() // the spelling of the file
			if !id.Name.Is(sent) {
				t.Errorf("%q is %q", typed, account)
			}
			users.Is(account, typed, id.Name)
			users.Is(account, typed, wrong.User)
		}
	}
	if len(users.Keys) != len(names) {
		t.Errorf("%d of %d accounts get in", len(users.Keys), len(names))
	}
}
