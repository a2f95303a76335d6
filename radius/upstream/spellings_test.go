package upstream

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"unicode"

	"golang.org/x/text/unicode/norm"

	"github.com/radmatch/radmatch/mfa"
	"github.com/radmatch/radmatch/mfa/password/passwordtest"
	"github.com/radmatch/radmatch/radius/wire"
)

// windows is a server that takes names for equal as Windows does: capitals, widths
// and accents make no difference, and an account has a logon name beside its own.
type windows struct {
	accounts map[string]string // folded: of the account
	logon    map[string]string // folded, with the domain
	says     bool              // User-Name, in an Access-Accept
}

func newWindows(says bool) *windows {
	w := &windows{accounts: map[string]string{}, logon: map[string]string{}, says: says}
	for i, name := range append([]string{"asmith", "alice.smith"}, passwordtest.NearNames...) {
		if w.accounts[w.fold(name)] == "" {
			w.accounts[w.fold(name)] = name
			w.logon[fmt.Sprintf("near%d@example.org", i)] = name
		}
	}
	w.logon["alice.smith@example.org"] = "asmith" // and is the name of another account
	return w
}

func (*windows) fold(name string) string {
	return strings.ToLower(strings.Map(func(r rune) rune {
		if unicode.Is(unicode.Mn, r) {
			return -1
		}
		return r
	}, norm.NFKD.String(strings.TrimRight(name, " "))))
}

// account is who signs in with a name, "" where that is no user.
func (w *windows) account(name string) string {
	name = w.fold(name)
	if domain, user, ok := strings.Cut(name, `\`); ok {
		if domain != "example" {
			return ""
		}
		return w.accounts[user]
	}
	if account := w.logon[name]; account != "" {
		return account
	}
	return w.accounts[strings.TrimSuffix(name, "@example.org")]
}

func (w *windows) serve(h *home) {
	h.answer = func(q *homeRequest) [][]byte {
		account := w.account(q.user)
		if account != "" {
			h.users[q.user] = "right horse"
		}
		code := h.code(q)
		return [][]byte{h.reply(q, code, func(reply *wire.Writer) {
			if w.says && code == wire.AccessAccept {
				reply.Text(wire.TypeUserName, account)
			}
		})}
	}
}

// TestSpellingsUpstream: whatever spelling of a name a server takes for an account's
// is one user where the server says who it was. Where it does not, a name that may be
// another spelling of an account's is not sure, and those that are sure are one user.
func TestSpellingsUpstream(t *testing.T) {
	for name, change := range map[string]func(*Settings){
		"plain":     func(s *Settings) { s.DefaultDomain = "EXAMPLE" },
		"domains":   func(s *Settings) { s.DefaultDomain, s.Domains = "EXAMPLE", []string{"example.org"} },
		"canonical": func(s *Settings) { s.DefaultDomain, s.CanonicalDomain = "EXAMPLE", "example.org" },
	} {
		for _, says := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s, says %t", name, says), func(t *testing.T) { testSpellingsUpstream(t, newWindows(says), change) })
		}
	}
}

func testSpellingsUpstream(t *testing.T, w *windows, change func(*Settings)) {
	h, users := newHome(t), passwordtest.NewOneUser(t)
	w.serve(h)
	u, _ := upstreamOf(t, change, h)
	var names []string
	for i := range len(passwordtest.NearNames) {
		names = append(names, passwordtest.NearNames[i], fmt.Sprintf("near%d@example.org", i))
	}
	names = append(names, "asmith", "alice.smith", "alice.smith@example.org", "asmith@example.org")
	accepted, unsure := 0, 0
	for _, name := range names {
		for i, s := range passwordtest.Spellings(name, 40) {
			typed := s
			if !strings.Contains(s, "@") {
				typed = fmt.Sprintf([]string{"%s", `example\%s`, "%s@Example.Org"}[i%3], s)
			}
			sent, account := mfa.NameOf(typed), w.account(typed)
			id, err := u.Check(t.Context(), sent, mfa.Password("right horse"))
			idMSCHAP, errMSCHAP := u.Check(t.Context(), sent, passwordtest.Response(t, typed, "right horse"))
			_, errWrong := u.Check(t.Context(), sent, mfa.Password("wrong horse"))
			wrong := (*mfa.UserError)(nil)
			switch {
			case errWrong == nil || (err == nil) != (errMSCHAP == nil) || !id.Name.Is(idMSCHAP.Name) || id.Known != idMSCHAP.Known:
				t.Errorf("%q: %q and %v by PAP, %q and %v by MS-CHAPv2, a wrong password %v", typed, id.Name, err, idMSCHAP.Name, errMSCHAP, errWrong)
			case err != nil && !errors.Is(err, mfa.ErrRejected) && !strings.Contains(err.Error(), "told from others"):
				t.Errorf("%q: %v", typed, err)
			case err != nil:
			case account == "":
				t.Errorf("%q is nobody's, and gets in as %q", typed, id.Name)
			case !id.Known && w.says:
				t.Errorf("%q is not sure", typed)
			case !id.Known:
				unsure++
			default:
				accepted++
				users.Is(account, typed, id.Name)
				if errors.As(errWrong, &wrong); wrong == nil {
					t.Errorf("%q: got a wrong password that counts for no user; want it counted", typed)
				} else if !w.says {
					users.Is(account, typed, wrong.User)
				}
			}
		}
	}
	t.Logf("%d spellings are a user's, %d not sure; %d of %d accounts", accepted, unsure, len(users.Keys), len(w.accounts))
	if least := map[bool]int{true: len(w.accounts) - 2, false: 6}[w.says]; len(users.Keys) < least || accepted < 100 || (unsure == 0) != w.says {
		t.Errorf("got fewer names accepted than there are accounts; want each account found")
	}
}

// TestSpellingsFreeRADIUS: a users file of FreeRADIUS knows one spelling of a name.
func TestSpellingsFreeRADIUS(t *testing.T) {
	t.Parallel()
	f := startFreeRADIUS(t)
	u, users := asUpstream(t, func(s *Settings) { s.DefaultDomain = "example.org" }, f), passwordtest.NewOneUser(t)
	for name, own := range map[string]string{"alice": "alice", "bob": "robert", "dora.smith@example.org": "dora", "expired": ""} {
		for _, typed := range passwordtest.Spellings(name, 20) {
			id, err := u.Check(t.Context(), mfa.NameOf(typed), mfa.Password("right horse"))
			switch {
			case (err == nil) != (typed == name):
				t.Errorf("%q: %q, %v", typed, id.Name, err)
			case err == nil && own != "" && (!id.Known || !id.Name.Is(mfa.NameOf(own))):
				t.Errorf("%q is %q, sure is %t", typed, id.Name, id.Known)
			case err == nil:
				users.Is(name, typed, id.Name)
			}
		}
	}
}

// TestUpstreamNameParts: what another program may read as a name with a domain is no
// name, however the sign between them is written.
func TestUpstreamNameParts(t *testing.T) {
	h := newHome(t)
	u, _ := upstreamOf(t, func(s *Settings) { s.DefaultDomain = "example.org" }, h)
	for _, typed := range []string{
		"alice＠example.org", `corp＼alice`, "example.org／alice", "example.org/alice", "alice@example.org@example.org", `\alice`, "alice@", `EXAMPLE\`, "@example.org",
		`example.org\corp＼alice`, "\u00ad", "example.org\\\u200b", "alice\x00", "alice\t", " alice", "alice ", "\u00a0alice", "alice\u3000",
	} {
		if id, err := u.Check(t.Context(), mfa.NameOf(typed), mfa.Password("right horse")); !errors.Is(err, mfa.ErrRejected) {
			t.Errorf("%q: got %q, %v", typed, id.Name, err)
		}
		if name, _, err := u.FindName(t.Context(), mfa.NameOf(typed)); err == nil {
			t.Errorf("%q is found as %q; want an error", typed, name)
		}
	}
	if n := len(h.requests()); n > 0 {
		t.Errorf("got %d of them were asked for; want none", n)
	}
}
