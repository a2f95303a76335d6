package main

import (
	"go/scanner"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode"
)

// worded is a piece of a file, and the words in it, in lower case.
type worded struct {
	text  string
	words []string
}

// wordedFile is what a file says: each piece by its words, and the comments, texts and
// paragraphs as a reader sees them, over the ends of lines.
type wordedFile struct {
	pieces []worded
	prose  []string
}

func (f *wordedFile) piece(text string) { f.pieces = append(f.pieces, worded{text, inProse(text)}) }

// say adds a line or more, which go on the paragraph before or begin one.
func (f *wordedFile) say(text string, goesOn bool) {
	text = strings.Join(strings.Fields(text), " ")
	if goesOn && len(f.prose) > 0 {
		text = f.prose[len(f.prose)-1] + " " + text
		f.prose = f.prose[:len(f.prose)-1]
	}
	f.prose = append(f.prose, text)
}

func wordedFiles(t *testing.T) map[string]wordedFile {
	t.Helper()
	files := map[string]wordedFile{}
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, _ := filepath.Rel(root, path)
		file := filepath.ToSlash(rel)
		if d.IsDir() {
			if d.Name() == ".git" || file == "bin" || strings.HasSuffix(file, "/testdata") {
				return fs.SkipDir
			}
			return nil
		}
		read := readerOf(file)
		if read == nil {
			return nil
		}
		text, err := os.ReadFile(path)
		files[file] = read(file, text)
		return err
	})
	if err != nil || len(files) < 200 {
		t.Fatalf("got %d files, %v; want all of the repository", len(files), err)
	}
	return files
}

// wordsOwn are these tests, which have the words themselves.
var wordsOwn = regexp.MustCompile(`/(words|phrases|wordfiles)_test\.go$`)

// readerOf returns how a file is read for its words; nil: not at all.
func readerOf(file string) func(string, []byte) wordedFile {
	switch ext := filepath.Ext(file); {
	case wordsOwn.MatchString(file) || strings.HasPrefix(file, "docs/") && ext != ".md":
		return nil
	case ext == ".go":
		return goWords
	case ext == ".md":
		return pageWords
	case strings.HasPrefix(file, "mfa/web/page/") && slices.Contains([]string{".js", ".html", ".css", ".json"}, ext):
		return webWords
	case ext == ".txtar", ext == ".service", path.Base(file) == "Makefile":
		return markedWords
	}
	return nil
}

// goWords reads the identifiers, comments and texts of a Go file.
func goWords(file string, src []byte) (f wordedFile) {
	var s scanner.Scanner
	set := token.NewFileSet().AddFile(file, -1, len(src))
	s.Init(set, src, nil, scanner.ScanComments)
	last, lastLine := token.EOF, 0
	for {
		pos, tok, lit := s.Scan()
		switch line := set.Line(max(pos, 1)); tok {
		case token.EOF:
			return f
		case token.IDENT:
			f.pieces = append(f.pieces, worded{lit, inName(lit)})
		case token.COMMENT, token.STRING:
			for line := range strings.Lines(lit) {
				f.piece(line)
			}
			f.say(strings.TrimPrefix(lit, "//"), tok == token.COMMENT && last == tok && line == lastLine+1)
			lastLine = line
		}
		last = tok
	}
}

// pageWords reads a document: its paragraphs, without blocks of code.
func pageWords(_ string, text []byte) (f wordedFile) {
	code, goesOn := false, false
	for line := range strings.Lines(string(text)) {
		f.piece(line)
		row := strings.HasPrefix(line, "|") || strings.HasPrefix(line, "#")
		switch trimmed := strings.TrimSpace(line); {
		case strings.HasPrefix(trimmed, "```"):
			code, goesOn = !code, false
		case code:
		case trimmed == "":
			goesOn = false
		default:
			f.say(line, goesOn && !row)
			goesOn = !row
		}
	}
	return f
}

// webWords reads a file of the page: its comments and its texts.
func webWords(_ string, text []byte) (f wordedFile) {
	said := regexp.MustCompile("//.*|/\\*.*|^ *\\* .*|\"[^\"]*\"|'[^']*'|>[^<]+<")
	for line := range strings.Lines(string(text)) {
		f.piece(line)
		for _, s := range said.FindAllString(line, -1) {
			f.say(s, false)
		}
	}
	return f
}

// markedWords reads the comments of a script, a unit or the Makefile.
func markedWords(_ string, text []byte) (f wordedFile) {
	goesOn := false
	for line := range strings.Lines(string(text)) {
		comment, ok := strings.CutPrefix(line, "# ")
		if ok {
			f.piece(comment)
			f.say(comment, goesOn)
		}
		goesOn = ok
	}
	return f
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
