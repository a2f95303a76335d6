package main

import (
	"io/fs"
	"path"
	"path/filepath"
	"strings"
	"testing"
)

// maxFolder is how many source files a folder has at the most: with more of them it is
// more than one idea.
const maxFolder = 15

// large are the folders that may have more, and why.
var large = map[string]string{
	"cmd/radmatch/command": "one file a command",
}

// TestFolders counts the source files of each folder. Tests do not count: they stand
// beside what they test.
func TestFolders(t *testing.T) {
	files := map[string]int{}
	err := filepath.WalkDir("../..", func(file string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && d.Name() == ".git":
			return fs.SkipDir
		case strings.HasSuffix(file, ".go") && !strings.HasSuffix(file, "_test.go"):
			rel, err := filepath.Rel("../..", file)
			files[path.Dir(filepath.ToSlash(rel))]++
			return err
		}
		return nil
	})
	if err != nil || len(files) < 20 {
		t.Fatalf("read %d folders: got %v; want no error, at least 20 of them", len(files), err)
	}
	for folder, n := range files {
		if n > maxFolder && large[folder] == "" {
			t.Errorf("%s has %d source files, want %d at the most: a folder is one idea", folder, n, maxFolder)
		}
	}
	for folder, why := range large {
		if files[folder] <= maxFolder {
			t.Errorf("%s has %d source files, and need not be an exception: %s", folder, files[folder], why)
		}
	}
}
