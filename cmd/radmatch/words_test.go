package main

import (
	"go/scanner"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode"
)

// privateWords are words that have a better one in docs/glossary.md: none of them may
// stand in code, comments, help, documents or pages.
var privateWords = map[string]string{
	"person": "user", "persons": "users", "people": "users", "somebody": "user, someone", "him": "them", "his": "their",
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
	{"cmd/radmatch/spellings_test.go", "inetOrgPerson", "an object class of LDAP", "person"},
	{"mfa/password/ldap/", "objectClass=person", "a filter of LDAP", "person"},
	{"mfa/password/ldap/", "objectCategory=person", "a filter of Active Directory", "person"},
	{"docs/active-directory.md", "objectCategory=person", "a filter of Active Directory", "person"},
	{"docs/configuration.md", "objectCategory=person", "a filter of Active Directory", "person"},
	{"mfa/password/ldap/unit_test.go", "ou=people", "a DN", "people"},
	{"mfa/group_test.go", "ou=people", "a DN", "people"},
	{"cmd/radmatch/groupcheck_test.go", "ou=people", "a DN", "people"},
	{"docs/ldap.md", "ou=people", "a DN", "people"},
	{"radius/upstream/", "example.org/people/alice", "a path of Active Directory", "people"},
	{"mfa/admin/bypass_test.go", "Störung", "a word of German", "rung"},
	{"config/", "budget", "the old name of a key, which is an error that says the new one", "budget"},
	{"cmd/radmatch/config_test.go", "budget", "the old name of a key", "budget"},
	{"CHANGELOG.md", "budget", "the old name of a key", "budget"},
	{"mfa/store/", "", "a key ring: the keys of seal.key", "ring"},
	{"mfa/store/stats_test.go", "learned_budget_ns", "what an older version has written", "budget"},
}

// TestWords: no private word is in the code, the documents or the pages.
func TestWords(t *testing.T) {
	used := make([]bool, len(allowedWords))
	for file, pieces := range wordedFiles(t) {
		for _, p := range pieces {
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
	for _, p := range goPieces("x.go", []byte(src)) {
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

// worded is a piece of a file, and the words in it, in lower case.
type worded struct {
	text  string
	words []string
}

func wordedFiles(t *testing.T) map[string][]worded {
	t.Helper()
	files := map[string][]worded{}
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, _ := filepath.Rel(root, path)
		file := filepath.ToSlash(rel)
		if d.IsDir() {
			if d.Name() == ".git" || file == "testdata" || file == "bin" || strings.HasSuffix(file, "/testdata") {
				return fs.SkipDir
			}
			return nil
		}
		page := strings.HasPrefix(file, "mfa/web/page/") && slices.Contains([]string{".js", ".html", ".css", ".json"}, filepath.Ext(file))
		if file == "cmd/radmatch/words_test.go" || !page && !slices.Contains([]string{".go", ".md"}, filepath.Ext(file)) {
			return nil
		}
		text, err := os.ReadFile(path)
		if strings.HasSuffix(file, ".go") {
			files[file] = goPieces(file, text)
			return err
		}
		for line := range strings.Lines(string(text)) {
			files[file] = append(files[file], worded{line, inProse(line)})
		}
		return err
	})
	if err != nil || len(files) < 200 {
		t.Fatalf("got %d files, %v; want all of the repository", len(files), err)
	}
	return files
}

// goPieces returns the identifiers, comments and texts of a Go file.
func goPieces(file string, src []byte) (pieces []worded) {
	var s scanner.Scanner
	s.Init(token.NewFileSet().AddFile(file, -1, len(src)), src, nil, scanner.ScanComments)
	for {
		switch _, tok, lit := s.Scan(); tok {
		case token.EOF:
			return pieces
		case token.IDENT:
			pieces = append(pieces, worded{lit, inName(lit)})
		case token.COMMENT, token.STRING:
			for line := range strings.Lines(lit) {
				pieces = append(pieces, worded{line, inProse(line)})
			}
		}
	}
}

// inProse returns the words of a text; a name in it, such as maxRings, has several.
func inProse(text string) (words []string) {
	for _, w := range regexp.MustCompile(`[A-Za-z]+`).FindAllString(text, -1) {
		words = append(words, inName(w)...)
	}
	return words
}

// inName returns the words of an identifier: those of maxRings are max and rings.
func inName(name string) (words []string) {
	runes := []rune(name)
	begin := 0
	for i := 1; i <= len(runes); i++ {
		if i == len(runes) || runes[i] == '_' || unicode.IsDigit(runes[i]) || unicode.IsUpper(runes[i]) && (!unicode.IsUpper(runes[i-1]) || i+1 < len(runes) && unicode.IsLower(runes[i+1])) {
			words = append(words, strings.ToLower(strings.Trim(string(runes[begin:i]), "_0123456789")))
			begin = i
		}
	}
	return words
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
