package password

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"strings"
	"testing"

	"github.com/radmatch/radmatch/mfa"
)

func TestProblems(t *testing.T) {
	user := func(more string) string {
		return "users:\n  - name: alice\n    password: \"" + testNT + "\"\n" + more
	}
	for _, c := range []struct{ name, text, want string }{
		{"plain", "users:\n  - name: alice\n    password: hunter2\n", "FILE:3: users[0].password: must be a hash that names its scheme, not a plain password (`radmatch hash` makes one)"},
		{"unknown key", user("    pasword: x\n"), "FILE:4: users[0].pasword: unknown key; one of name, password, groups, reply, disabled"},
		{"unknown key at the top", "user: []\n", "FILE:1: user: unknown key; the only one is users"},
		{"nothing", "", "FILE:1: must hold `users:`"},
		{"key twice", user("    password: x\n"), "FILE:4: users[0].password: must not stand twice"},
		{"same user", user("  - name: ALICE\n    password: \"" + testNT + "\"\n"), `FILE:4: users[1].name: must be unique, whatever its case: the same user is on line 2; got "ALICE"`},
		{"no name", "users:\n- password: \"" + testNT + "\"\n", "FILE:2: users[0].name: is missing"},
		{"no password", "users:\n\n- name: alice\n", "FILE:3: users[0].password: is missing"},
		{"empty password", "users:\n- name: alice\n  password:\n", "FILE:3: users[0].password: must be a text that is not empty"},
		{"null name", "users:\n- {name: ~, password: \"" + testNT + "\"}\n", "FILE:2: users[0].name: must be a text that is not empty"},
		{"space", "users:\n- {name: \" alice\", password: \"" + testNT + "\"}\n", `FILE:2: users[0].name: must not begin or end with a space; got " alice"`},
		{"control", "users:\n- {name: \"ali\\nce\", password: \"" + testNT + "\"}\n", `FILE:2: users[0].name: must be text without control characters; got "ali\nce"`},
		{"long", "users:\n- {name: " + strings.Repeat("a", 254) + ", password: \"" + testNT + "\"}\n", `FILE:2: users[0].name: must have at most 253 octets; got "` + strings.Repeat("a", 60) + `…"`},
		{"groups", user("    groups: staff\n"), "FILE:4: users[0].groups: must be a list"},
		{"group", user("    groups:\n    - staff\n    - {a: b}\n"), "FILE:6: users[0].groups[1]: must be a text that is not empty"},
		{"disabled", user("    disabled: maybe\n"), `FILE:4: users[0].disabled: must be true or false; got "maybe"`},
		{"reply", user("    reply: {Class: a, Nonsense: b}\n"), `FILE:4: users[0].reply.Nonsense: unknown attribute; got "b"`},
		{"reply list", user("    reply:\n    - Class: a\n    - Nonsense: b\n"), `FILE:6: users[0].reply[1].Nonsense: unknown attribute; got "b"`},
		{"reply text", user("    reply: gold\n"), "FILE:4: users[0].reply: must be a map of keys to values"},
		{"a user that is a text", "users:\n- alice\n", "FILE:2: users[0]: must be a map of keys to values"},
		{"two documents", user("---\nusers: []\n"), "FILE:4: must be one YAML document"},
		{"unquoted", "users:\n  - name: alice\n    password: {NT}24d9c99595080b241b3b4eb0cba8d8f4\n", "FILE:3: not YAML: a hash that begins with { must stand in quotes"},
		{"not YAML", "users:\n- name: [alice\n", "FILE:2: not YAML: did not find expected ',' or ']'"},
		{"indented less", user("  - name: bob\n   disabled: true\n"), "FILE:5: not YAML: the indentation does not fit the lines above: did not find expected '-' indicator"},
		{"indented by a tab", user("\tgroups: [a]\n"), "FILE:4: not YAML: a line must be indented by blanks, not by a tab"},
		{"an asterisk", user("  - name: bob\n    password: *hunter2\n"), "FILE:5: not YAML: text that begins with * must be in quotes"},
		{"Latin-1", user("  - name: gr\xfcn\n"), "FILE:4: not YAML: must be UTF-8: save the file as that"},
		{"several", "users:\n  - name: alice\n    password: x\n    groups: 3\n  - nam: bob\n",
			"FILE:3: users[0].password: " + errPlain.Error() + "\nFILE:4: users[0].groups: must be a list\nFILE:5: users[1].nam: unknown key; one of name, password, groups, reply, disabled\n" +
				"FILE:5: users[1].name: is missing\nFILE:5: users[1].password: is missing"},
	} {
		path := write(t, c.text)
		f, err := OpenFile(path, testEncode, NewGate())
		if f != nil || err == nil {
			t.Errorf("%s: no error", c.name)
			continue
		}
		if got := strings.ReplaceAll(err.Error(), path, "FILE"); got != c.want {
			t.Errorf("%s:\n got %s\nwant %s", c.name, got, c.want)
		}
	}
}

func TestNoFile(t *testing.T) {
	_, err := OpenFile(filepath.Join(t.TempDir(), "users.yaml"), testEncode, NewGate())
	if !os.IsNotExist(unwrapAll(err)) {
		t.Errorf("got %v", err)
	}
}

func unwrapAll(err error) error {
	for {
		u, ok := err.(interface{ Unwrap() error })
		if !ok {
			return err
		}
		err = u.Unwrap()
	}
}

func TestManyProblems(t *testing.T) {
	_, err := OpenFile(write(t, "users:\n"+strings.Repeat("- name: alice\n", 5000)), testEncode, NewGate())
	lines := strings.Split(err.Error(), "\n")
	if got := lines[len(lines)-1]; len(lines) != maxProblems+1 || !strings.HasSuffix(got, ": and 9899 more") {
		t.Errorf("%d lines, the last is %q", len(lines), got)
	}
}

func TestAliases(t *testing.T) {
	f := open(t, "users:\n- {name: a, password: &p \""+testNT+"\", groups: &g [x, y]}\n- {name: b, password: *p, groups: *g}\n")
	id, err := f.Check(t.Context(), mfa.NameOf("b"), mfa.Password(testPassword))
	if err != nil || !reflect.DeepEqual(id.Groups, mfa.GroupsOf("x", "y")) {
		t.Errorf("got %+v, %v", id, err)
	}
}

func TestReplyOrder(t *testing.T) {
	f := open(t, "users:\n- name: a\n  password: \""+testNT+"\"\n  reply: [{Class: 1}, {Filter-Id: x}, {Class: 2}]\n")
	id, _ := f.Check(t.Context(), mfa.NameOf("a"), mfa.Password(testPassword))
	var got []string
	for _, a := range id.Attributes {
		got = append(got, fmt.Sprintf("%d=%s", a.Type, a.Value))
	}
	if want := "25=1 11=x 25=2"; strings.Join(got, " ") != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// layouts that mean the same, some of which split must not cut.
func TestLayouts(t *testing.T) {
	entry := func(i int) string {
		return fmt.Sprintf("name: u%d\nPpassword: \"%s\"\nPgroups:\nP- a\nP- b\n", i, testNT)
	}
	build := func(head, indent string) string {
		var b strings.Builder
		b.WriteString(head)
		for i := range 2100 {
			b.WriteString(indent + "- " + strings.ReplaceAll(entry(i), "P", indent+"  "))
			if i%700 == 0 {
				b.WriteString("\n# a comment\n")
			}
		}
		return b.String()
	}
	usual := build("users:\n", "  ")
	for name, c := range map[string]struct {
		text   string
		pieces int
	}{
		"usual":         {usual, 3},
		"no indent":     {build("users: # all\n", ""), 3},
		"comments":      {build("# first\n\nusers:\n\n# next\n", "    "), 3},
		"CRLF":          {strings.ReplaceAll(usual, "\n", "\r\n"), 3},
		"no newline":    {strings.TrimSuffix(usual, "\n"), 3},
		"document":      {"---\n" + usual, 3},
		"quoted key":    {strings.Replace(usual, "users", `"users"`, 1), 3},
		"flow":          {"users: [{name: u0, password: '" + testNT + "'}]\n", 0},
		"flow in a row": {strings.Replace(usual, "groups:\n    - a\n    - b\n", "groups: [a,\n  - b\n  ]\n", 1), -1},
	} {
		_, pieces, ok := split([]byte(c.text), usersPerPiece)
		if c.pieces >= 0 && (len(pieces) != c.pieces || ok != (c.pieces > 0)) {
			t.Errorf("%s: %d pieces, %v", name, len(pieces), ok)
		}
		f, err := OpenFile(write(t, c.text), testEncode, NewGate())
		if c.pieces < 0 {
			if err == nil {
				t.Errorf("%s: no error; want an error", name)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: got error %v; want none", name, err)
			continue
		}
		if u := f.users[mfa.NameOf("u2099").Key()]; name != "flow" && (f.Len() != 2100 || u == nil || len(u.groups) != 2 || &u.groups[0] != &f.users[mfa.NameOf("u0").Key()].groups[0]) {
			t.Errorf("%s: %d users, the last is %+v", name, f.Len(), u)
		}
		if u := f.users[mfa.NameOf("u1001").Key()]; name == "usual" && strings.Split(c.text, "\n")[u.line-1] != "  - name: u1001" {
			t.Errorf("u1001 is not on line %d", u.line)
		}
	}
}

// A key after the list, and an entry in another column, are not lost.
func TestSplitIsNotFooled(t *testing.T) {
	for name, text := range map[string]string{
		"key after the list": "users:\n- {name: a, password: \"" + testNT + "\"}\nother: 1\n",
		"quoted text":        "users:\n- {name: a, password: \"" + testNT + "\"}\n- name: \"b\n- name: c\"\n  password: x\n",
		"anchor elsewhere":   "users:\n- {name: a, password: &p \"" + testNT + "\"}\n- {name: b, password: *q}\n",
	} {
		if f, err := OpenFile(write(t, text), testEncode, NewGate()); err == nil {
			t.Errorf("%s: accepted, %d users; want an error", name, f.Len())
		}
	}
}

// FuzzSplit: reading piece by piece gives what reading the whole file gives.
func FuzzSplit(f *testing.F) {
	f.Add([]byte(twoUsers))
	f.Add([]byte("users:\n- {name: a, password: \"" + testNT + "\"}\n- name: \"b\n- c\"\n"))
	f.Add([]byte("users:\n  # x\n  - name: |\n      a\n      - b\n    password: x\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		byPiece, whole := fuzzLoader(), fuzzLoader()
		if !byPiece.loadPieces(data, 1) {
			return
		}
		whole.loadWhole(data)
		if got, want := byPiece.problems(), whole.problems(); fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("by piece: %v\nwhole: %v", got, want)
		}
		if !reflect.DeepEqual(byPiece.file.users, whole.file.users) {
			t.Error("got other users piece by piece than as a whole; want the same")
		}
	})
}

func fuzzLoader() *loader { return newLoader("users.yaml", testEncode, nil) }

func bigFile(t testing.TB, n int) string {
	t.Helper()
	var b strings.Builder
	b.WriteString("users:\n")
	for i := range n {
		fmt.Fprintf(&b, "  - name: user%06d\n    password: \"%s\"\n    groups: [staff, vpn]\n    reply: {Class: c}\n", i, testNT)
	}
	return write(t, b.String())
}

func BenchmarkOpen100k(b *testing.B) {
	path := bigFile(b, 100_000)
	for b.Loop() {
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		f, err := OpenFile(path, testEncode, NewGate())
		if err != nil {
			b.Fatal(err)
		}
		runtime.ReadMemStats(&after)
		b.ReportMetric(float64(after.TotalAlloc-before.TotalAlloc)/(1<<20), "MiB-allocated")
		runtime.GC()
		runtime.ReadMemStats(&after)
		b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/(1<<20), "MiB-kept")
		b.ReportMetric(float64(after.HeapSys)/(1<<20), "MiB-heap")
		runtime.KeepAlive(f)
	}
}
