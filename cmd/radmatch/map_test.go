package main

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// The pages for those who change radmatch.
var mapPages = []string{"architecture.md", "runtime.md", "glossary.md", "extending.md"}

// ofRepo are paths of the repository in a text.
var ofRepo = regexp.MustCompile(`(^|[^\w/.-])((?:cmd|config|deploy|docs|mfa|otp|radius|testdata)/[\w./-]*\w)`)

func readPage(t *testing.T, page string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, "docs", page))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// sources returns the Go files of the program, by path.
func sources(t *testing.T) map[string]string {
	t.Helper()
	files := map[string]string{}
	err := filepath.WalkDir(root, func(file string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && (d.Name() == "testdata" || d.Name() == ".git"):
			return fs.SkipDir
		case !strings.HasSuffix(file, ".go") || strings.HasSuffix(file, "_test.go"):
			return nil
		}
		text, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, file)
		files[filepath.ToSlash(rel)] = string(text)
		return err
	})
	if err != nil || len(files) < 20 {
		t.Fatalf("got %d files, %v; want all of the repository", len(files), err)
	}
	return files
}

// TestMapPaths: every file, folder and section that the pages name exists, and
// README.md leads to the pages.
func TestMapPaths(t *testing.T) {
	readme, err := os.ReadFile(filepath.Join(root, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	link := regexp.MustCompile(`\]\(([\w./-]*)(?:#([\w-]+))?\)`)
	for _, page := range mapPages {
		text := readPage(t, page)
		if !strings.Contains(string(readme), "](docs/"+page+")") {
			t.Errorf("README.md has no link to %s", page)
		}
		named := ofRepo.FindAllStringSubmatch(text, -1)
		for _, m := range named {
			_, planned := ours[m[2]] // a package that the rules of imports know before it is there
			if _, err := os.Stat(filepath.Join(root, m[2])); err != nil && !planned {
				t.Errorf("%s names %s, which does not exist", page, m[2])
			}
		}
		links := link.FindAllStringSubmatch(text, -1)
		for _, m := range links {
			to := page
			if m[1] != "" {
				to = m[1]
			}
			if target := readPage(t, to); m[2] != "" && !slices.Contains(anchors(target), m[2]) {
				t.Errorf("%s links to %s#%s; want one of %q", page, to, m[2], anchors(target))
			}
		}
		if len(links) == 0 || len(named) == 0 && page != "glossary.md" {
			t.Errorf("%s: got %d paths and %d links; want some of each", page, len(named), len(links))
		}
	}
}

// anchors are the names by which the headings of a page can be linked to.
func anchors(page string) (names []string) {
	drop := regexp.MustCompile(`[^a-z0-9 _-]`)
	for _, m := range regexp.MustCompile(`(?m)^#+ (.*)$`).FindAllStringSubmatch(page, -1) {
		names = append(names, strings.ReplaceAll(drop.ReplaceAllString(strings.ToLower(m[1]), ""), " ", "-"))
	}
	return names
}

// TestMapNames: every name of the code that the pages have, as package.Name,
// package.Name.Member or package.type.member, is declared there.
func TestMapNames(t *testing.T) {
	declared := declarations(t)
	name := regexp.MustCompile(`\b([a-z]+)\.([A-Za-z_]\w*(?:\.[A-Za-z_]\w*)?)`)
	for _, page := range mapPages {
		found := 0
		text := ofRepo.ReplaceAllString(readPage(t, page), "$1")
		for _, m := range name.FindAllStringSubmatch(text, -1) {
			members, ok := declared[m[1]]
			if !ok || strings.ToLower(m[2]) == m[2] && !strings.Contains(m[2], ".") {
				continue // radmatch.yaml, fatigue.window, and the like
			}
			found++
			if !members[m[2]] {
				t.Errorf("%s names %s.%s, which does not exist", page, m[1], m[2])
			}
		}
		if found < 20 {
			t.Errorf("%s: got %d names of the code; want 20 and more", page, found)
		}
	}
}

// declarations returns what each package declares: names, Type.Method and Type.Field.
func declarations(t *testing.T) map[string]map[string]bool {
	t.Helper()
	found := map[string]map[string]bool{}
	for file, text := range sources(t) {
		syntax, err := parser.ParseFile(token.NewFileSet(), file, text, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		names := found[syntax.Name.Name]
		if names == nil {
			names = map[string]bool{}
			found[syntax.Name.Name] = names
		}
		for _, d := range syntax.Decls {
			switch d := d.(type) {
			case *ast.FuncDecl:
				names[receiver(d)+d.Name.Name] = true
			case *ast.GenDecl:
				for _, spec := range d.Specs {
					declare(names, spec)
				}
			}
		}
	}
	return found
}

func receiver(d *ast.FuncDecl) string {
	if d.Recv == nil {
		return ""
	}
	typ := d.Recv.List[0].Type
	if star, ok := typ.(*ast.StarExpr); ok {
		typ = star.X
	}
	switch generic := typ.(type) {
	case *ast.IndexExpr:
		typ = generic.X
	case *ast.IndexListExpr:
		typ = generic.X
	}
	return typ.(*ast.Ident).Name + "."
}

func declare(names map[string]bool, spec ast.Spec) {
	switch spec := spec.(type) {
	case *ast.ValueSpec:
		for _, name := range spec.Names {
			names[name.Name] = true
		}
	case *ast.TypeSpec:
		names[spec.Name.Name] = true
		var members *ast.FieldList
		switch typ := spec.Type.(type) {
		case *ast.StructType:
			members = typ.Fields
		case *ast.InterfaceType:
			members = typ.Methods
		default:
			return
		}
		for _, f := range members.List {
			for _, name := range f.Names {
				names[spec.Name.Name+"."+name.Name] = true
			}
		}
	}
}

// TestMapImports: the tables of architecture.md are those of TestImports.
func TestMapImports(t *testing.T) {
	page := readPage(t, "architecture.md")
	want := map[string][]string{}
	for pkg, may := range ours {
		if _, err := os.Stat(filepath.Join(root, pkg)); err == nil {
			want[pkg] = may
		}
	}
	sameTable(t, "imports", marked(t, page, "imports"), want)
	sameTable(t, "libraries", marked(t, page, "libraries"), theirs)
}

// marked returns the rows of the table behind a mark: what is in backticks in the last
// column, by what is in the first.
func marked(t *testing.T, page, mark string) map[string][]string {
	t.Helper()
	_, text, _ := strings.Cut(page, "<!-- "+mark+" -->\n")
	text, _, _ = strings.Cut(text, "<!-- end -->")
	quoted := regexp.MustCompile("`([^`]+)`")
	rows := map[string][]string{}
	for line := range strings.Lines(text) {
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|")
		first := quoted.FindStringSubmatch(cells[0])
		if first == nil {
			continue
		}
		list := []string{}
		last := cells[len(cells)-1]
		for _, m := range quoted.FindAllStringSubmatch(last, -1) {
			list = append(list, m[1])
		}
		if strings.TrimSpace(last) == "everything" {
			list = []string{"*"}
		}
		rows[first[1]] = list
	}
	return rows
}

func sameTable(t *testing.T, what string, got, want map[string][]string) {
	t.Helper()
	for name, list := range want {
		row, ok := got[name]
		if !ok || !slices.Equal(slices.Sorted(slices.Values(row)), slices.Sorted(slices.Values(list))) {
			t.Errorf("%s: architecture.md has %q for %s; want %q", what, row, name, list)
		}
	}
	for name := range got {
		if _, ok := want[name]; !ok {
			t.Errorf("%s: architecture.md has a row %s, which imports_test.go has not", what, name)
		}
	}
}

// TestRecipes counts the places of extending.md. The model of each recipe stands in
// every file that its table names, and in no other file of the program.
func TestRecipes(t *testing.T) {
	recipes := []struct {
		section string
		code    string // the model in Go code
		text    string // and in tests, scripts and documents
		own     string // begins its own files, of which the table names the first
	}{
		{"A push provider", `(?i)webhook`, `(?i)webhook`, ""},
		{"A primary", `\*ldap\.Primary\b|\bldap\.Open\b`, `(?i)ldap`, "mfa/password/ldap/"},
		{"A client profile", `"mikrotik"`, `(?i)mikrotik`, ""},
		{"A configuration key", `\bNumberFromDevice\b`, `number_from_device|NumberFromDevice`, ""},
		{"A counter", `\bLate\b|count\.late\b|, late +atomic`, `\bLate\b`, ""},
		{"An event field", `\bRounds\b`, `\bRounds\b|primary_rounds`, ""},
		{"A change of the schema", `-- serves: `, `-- serves: `, ""},
	}
	sections := strings.Split(readPage(t, "extending.md"), "\n## ")[1:]
	if len(sections) != len(recipes) {
		t.Fatalf("got %d recipes in extending.md; want %d", len(sections), len(recipes))
	}
	row := regexp.MustCompile("(?m)^\\| `([^`]+)` \\| (.*) \\|$")
	lines := regexp.MustCompile(`\((\d+) lines\)`)
	files := sources(t)
	for i, r := range recipes {
		if !strings.HasPrefix(sections[i], r.section+"\n") {
			t.Errorf("recipe %d: got %q; want %q", i, sections[i][:20], r.section)
			continue
		}
		code, text := regexp.MustCompile(r.code), regexp.MustCompile(r.text)
		named := map[string]bool{}
		for _, m := range row.FindAllStringSubmatch(sections[i], -1) {
			place := m[1]
			named[place] = true
			content, err := os.ReadFile(filepath.Join(root, place))
			if err != nil || !text.Match(content) && !code.Match(content) {
				t.Errorf("%s: the model is not in %s (%v)", r.section, place, err)
			}
			if n := lines.FindStringSubmatch(m[2]); n != nil && n[1] != strconv.Itoa(matchingLines(code, files[place])) {
				t.Errorf("%s: %s has %d lines with the model; the recipe says %s", r.section, place, matchingLines(code, files[place]), n[1])
			}
		}
		for file, content := range files {
			if code.MatchString(content) && !named[file] && (r.own == "" || !strings.HasPrefix(file, r.own)) {
				t.Errorf("%s: the model is also in %s", r.section, file)
			}
		}
	}
}

func matchingLines(re *regexp.Regexp, text string) (n int) {
	for line := range strings.Lines(text) {
		if re.MatchString(line) {
			n++
		}
	}
	return n
}

// TestGlossary: each term is there once and in order, and its keys are keys.
func TestGlossary(t *testing.T) {
	page := readPage(t, "glossary.md")
	keys := readPage(t, "configuration.md")
	tables, _, ok := strings.Cut(page, "\n## Words that are not used\n")
	if !ok {
		t.Fatal("got no section on words that are not used; want one")
	}
	seen := map[string]bool{}
	key := regexp.MustCompile("`([a-z]+(?:_[a-z]+)+)`")
	for _, section := range strings.Split(tables, "\n## ")[1:] {
		before := ""
		for _, m := range regexp.MustCompile(`(?m)^\| (.+?) \| .* \|$`).FindAllStringSubmatch(section, -1) {
			term := m[1]
			if term == "term" || term == "---" {
				continue
			}
			if folded := strings.ToLower(term); folded <= before {
				t.Errorf("%q stands behind %q; want more than before", term, before)
			} else {
				before = folded
			}
			if seen[term] {
				t.Errorf("%q is there twice", term)
			}
			seen[term] = true
			for _, k := range key.FindAllStringSubmatch(m[0], -1) {
				if !strings.Contains(keys, "`"+k[1]+"`") {
					t.Errorf("%q: %s is no key of docs/configuration.md", term, k[1])
				}
			}
		}
	}
	if len(seen) < 60 {
		t.Errorf("got %d terms; want 60 and more", len(seen))
	}
}
