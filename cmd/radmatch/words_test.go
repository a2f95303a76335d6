package main

import (
	"slices"
	"strings"
	"testing"
)

// privateWords are words that have a better one in docs/glossary.md: none of them may
// stand in code, comments, help, documents or pages.
var privateWords = map[string]string{
	"person": "user", "persons": "users", "people": "users", "somebody": "user, someone",
	"whoever": "anyone who",
	"ring":    "prompt", "rings": "prompts", "rang": "sent a prompt", "ringing": "an open prompt", "rung": "notified",
	"seat": "origin, end user", "seats": "origins, end users",
	"parked": "waiting", "park": "wait",
	"patience": "NAS timeout", "budget": "NAS timeout", "sight": "NAS timeout",
	"tiresome": "counts as fatigue", "bury": "mark down",
	"stranger": "unknown caller, unknown client, attacker", "strangers": "unknown callers",
	"knock": "ask", "knocks": "asks", "lane": "queue", "lanes": "queues",
}

// allowedWords are where a private word stays: a part of a path, what stands around the
// word, and why.
var allowedWords = []struct {
	path, text, why string
	word            string
}{
	{"cmd/radbench/ldap.go", "inetOrgPerson", "an object class of LDAP", "person"},
	{"mfa/password/", "inetOrgPerson", "an object class of LDAP", "person"},
	{"cmd/radmatch/e2e/spellings_test.go", "inetOrgPerson", "an object class of LDAP", "person"},
	{"mfa/password/ldap/", "objectClass=person", "a filter of LDAP", "person"},
	{"mfa/password/ldap/", "objectCategory=person", "a filter of Active Directory", "person"},
	{"docs/active-directory.md", "objectCategory=person", "a filter of Active Directory", "person"},
	{"docs/configuration.md", "objectCategory=person", "a filter of Active Directory", "person"},
	{"mfa/password/ldap/conn/conn_test.go", "ou=people", "a DN", "people"},
	{"mfa/group_test.go", "ou=people", "a DN", "people"},
	{"cmd/radmatch/command/group_test.go", "ou=people", "a DN", "people"},
	{"docs/ldap.md", "ou=people", "a DN", "people"},
	{"radius/upstream/", "example.org/people/alice", "a path of Active Directory", "people"},
	{"mfa/admin/bypass_test.go", "Störung", "a word of German", "rung"},
	{"config/", "budget", "the old name of a key, which is an error that says the new one", "budget"},
	{"cmd/radmatch/command/config_test.go", "budget", "the old name of a key", "budget"},
	{"CHANGELOG.md", "budget", "the old name of a key", "budget"},
	{"mfa/store/", "", "a key ring: the keys of seal.key", "ring"},
	{"docs/glossary.md", "A person is a", "says which words are not used", "person"},
	{"docs/glossary.md", "A person is a", "says which words are not used", "somebody"},
	{"mfa/store/stats_test.go", "learned_budget_ns", "what an older version has written", "budget"},
}

// TestWords: no private word is in the code, the documents or the pages.
func TestWords(t *testing.T) {
	used := make([]bool, len(allowedWords))
	for file, f := range wordedFiles(t) {
		for _, p := range f.pieces {
			for _, w := range p.words {
				better, private := privateWords[w]
				if !private || allowedWord(file, p.text, w, used) {
					continue
				}
				t.Errorf("%s: got %q in %q; want %s", file, w, cutText(p.text), better)
			}
		}
	}
	for i, a := range allowedWords {
		if !used[i] {
			t.Errorf("%q is in no %s any more: it is no exception", a.word, a.path)
		}
		if a.why == "" {
			t.Errorf("%q in %s has no reason", a.word, a.path)
		}
	}
}

// TestWordsFindsThem: the search finds a word as a part of an identifier, in a comment,
// in a text and in a document, and no longer word that contains it.
func TestWordsFindsThem(t *testing.T) {
	const src = "package x\n// Whoever asks.\nfunc maxRings() string { return \"the person\" }\nvar personal = String(during, brings)\n"
	var got []string
	for _, p := range goWords("x.go", []byte(src)).pieces {
		for _, w := range p.words {
			if privateWords[w] != "" {
				got = append(got, w)
			}
		}
	}
	if want := []string{"whoever", "rings", "person"}; !slices.Equal(got, want) {
		t.Errorf("got %q in the code; want %q", got, want)
	}
	if got := inProse("A seat, and personal strings."); !slices.Contains(got, "seat") || slices.Contains(got, "person") || slices.Contains(got, "ring") {
		t.Errorf("got the words %q", got)
	}
}

func allowedWord(file, text, word string, used []bool) (ok bool) {
	for i, a := range allowedWords {
		if a.word == word && strings.HasPrefix(file, a.path) && strings.Contains(text, a.text) {
			used[i], ok = true, true
		}
	}
	return ok
}

func cutText(s string) string {
	s = strings.TrimSpace(s)
	return s[:min(len(s), 100)]
}
