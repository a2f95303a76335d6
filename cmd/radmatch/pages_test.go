package main

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/radmatch/radmatch/cmd/radmatch/providers"
	"github.com/radmatch/radmatch/mfa"
	"github.com/radmatch/radmatch/mfa/password"
	"github.com/radmatch/radmatch/mfa/password/ldap"
	"github.com/radmatch/radmatch/mfa/push"
	"github.com/radmatch/radmatch/radius/upstream"
)

// pages returns the documents of the repository, by path.
func pages(t *testing.T) map[string]string {
	t.Helper()
	files := []string{"README.md", "CHANGELOG.md"}
	docs, err := filepath.Glob(filepath.Join(root, "docs", "*.md"))
	if err != nil || len(docs) < 20 {
		t.Fatalf("got %d pages, %v; want all of docs", len(docs), err)
	}
	for _, p := range docs {
		files = append(files, "docs/"+filepath.Base(p))
	}
	texts := map[string]string{}
	for _, f := range files {
		text, err := os.ReadFile(filepath.Join(root, f))
		if err != nil {
			t.Fatal(err)
		}
		texts[f] = string(text)
	}
	return texts
}

// TestDocumentLinks: each link of a document leads to a file, and to a section that is there.
// README.md leads to each page.
func TestDocumentLinks(t *testing.T) {
	all := pages(t)
	link := regexp.MustCompile(`\]\(([\w./-]*)(?:#([\w-]+))?\)`)
	for file, text := range all {
		for _, m := range link.FindAllStringSubmatch(text, -1) {
			to := file
			if m[1] != "" {
				to = filepath.ToSlash(filepath.Join(filepath.Dir(file), m[1]))
			}
			if _, err := os.Stat(filepath.Join(root, to)); err != nil {
				t.Errorf("%s: got a link to %s; want one to a file", file, m[1])
			}
			if m[2] != "" && !slices.Contains(anchors(all[to]), m[2]) {
				t.Errorf("%s: got a link to %s#%s; want one of %q", file, m[1], m[2], anchors(all[to]))
			}
		}
		if page, ok := strings.CutPrefix(file, "docs/"); ok && !strings.Contains(all["README.md"], "](docs/"+page+")") {
			t.Errorf("got no link to %s in README.md; want one", file)
		}
	}
}

// TestNamedDocuments: a page that the code names, in a text or a comment, exists.
func TestNamedDocuments(t *testing.T) {
	page := regexp.MustCompile(`\bdocs/[a-z-]+\.md\b`)
	found := 0
	for file, text := range sources(t) {
		for _, name := range page.FindAllString(text, -1) {
			found++
			if _, err := os.Stat(filepath.Join(root, name)); err != nil {
				t.Errorf("%s: got the page %s, %v; want one that exists", file, name, err)
			}
		}
	}
	if found < 20 {
		t.Errorf("got %d names of pages; want 20 and more", found)
	}
}

// maxWords bounds a page: a longer one is two pages.
const maxWords = 2500

// maxSentence bounds a sentence of a page, in words.
const maxSentence = 35

// TestDocumentSentences: a sentence of a page has one thought. A list of names in
// backticks is none.
func TestDocumentSentences(t *testing.T) {
	end := regexp.MustCompile(`[.!?:;] `)
	for file, text := range pages(t) {
		if file == "docs/configuration.md" || file == "CHANGELOG.md" {
			continue
		}
		for _, p := range pageWords(file, []byte(text)).prose {
			for _, cell := range strings.Split(p, "|") {
				for _, s := range end.Split(cell, -1) {
					if n := len(strings.Fields(s)); n > maxSentence && strings.Count(s, "`, `") < n/2 {
						t.Errorf("%s: got a sentence of %d words; want at most %d: %s", file, n, maxSentence, s)
					}
				}
			}
		}
	}
}

// TestDocumentLength: no page has too many words, and each says first, below its title,
// what it is for. The reference of the configuration is generated, and CHANGELOG.md grows:
// neither is read from its beginning to its end.
func TestDocumentLength(t *testing.T) {
	for file, text := range pages(t) {
		if n := len(strings.Fields(text)); n > maxWords && file != "docs/configuration.md" && file != "CHANGELOG.md" {
			t.Errorf("%s: got %d words; want at most %d", file, n, maxWords)
		}
		text = regexp.MustCompile("(?s)^<!--.*?-->\n\n").ReplaceAllString(text, "")
		title, rest, _ := strings.Cut(text, "\n\n")
		first, _, _ := strings.Cut(rest, "\n\n")
		if file == "README.md" || file == "CHANGELOG.md" {
			continue
		}
		if !strings.HasPrefix(title, "# ") || !strings.Contains(strings.ToLower(first), "this page ") {
			t.Errorf("%s: got the beginning %q, %q; want a title, and a paragraph such as \"This page shows how to ...\"", file, title, first)
		}
	}
}

// TestReadmeProviders: the tables of README.md have each primary and push provider, with
// what its type can do.
func TestReadmeProviders(t *testing.T) {
	readme := pages(t)["README.md"]
	_, section, _ := strings.Cut(readme, "\n## Primaries and push providers\n")
	section, _, _ = strings.Cut(section, "\n## ")
	rows := map[string][]string{}
	for _, m := range regexp.MustCompile("(?m)^\\| `(\\w+)` \\|(.*)\\|$").FindAllStringSubmatch(section, -1) {
		for _, cell := range strings.Split(m[2], "|") {
			rows[m[1]] = append(rows[m[1]], strings.TrimSpace(cell))
		}
	}
	types := providers.Known()
	if want := len(types.Primaries) + len(types.Push); len(rows) != want {
		t.Errorf("got %d rows; want %d", len(rows), want)
	}
	can := func(name string, column int, ability bool) {
		t.Helper()
		if len(rows[name]) <= column {
			t.Errorf("%s: got %q; want a row with more columns", name, rows[name])
		} else if got := rows[name][column]; (got != "no") != ability {
			t.Errorf("%s, column %d: got %q; want ability %v", name, column+2, got, ability)
		}
	}
	for name, p := range map[string]mfa.PasswordChecker{"ldap": &ldap.Primary{}, "radius": &upstream.Primary{}, "file": &password.File{},
		"sequence": password.Sequence{}, "none": &password.None{}} {
		_, finds := p.(mfa.IdentityFinder)
		can(name, 3, finds)
		_, asks := p.(mfa.PrimaryContinuer)
		can(name, 4, asks)
	}
	for name, kinds := range map[string][]mfa.Pusher{"approver": {&push.Approver{}}, "webhook": {&push.Webhook{}}, "ntfy": {&push.Ntfy{}, push.NtfyChoice{}}} {
		var typed, chosen, code, resumes bool
		for _, p := range kinds {
			a := p.Abilities()
			typed, chosen = typed || a.TypesNumbers, chosen || a.ChecksNumbers && !a.TypesNumbers
			code, resumes = code || a.ShowsCodes, resumes || a.Resumes
		}
		can(name, 1, true)
		can(name, 2, typed)
		can(name, 3, chosen)
		can(name, 4, code)
		can(name, 5, resumes)
	}
}
