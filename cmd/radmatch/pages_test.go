package main

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
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

// TestPageLinks: each link of a document leads to a file, and to a section that is there.
// README.md leads to each page.
func TestPageLinks(t *testing.T) {
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
