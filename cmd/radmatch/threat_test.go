package main

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// Every test that the threat model names exists, and every threat names one.
func TestThreatModel(t *testing.T) {
	const root = "../.."
	tests := map[string]bool{}
	declared := regexp.MustCompile(`(?m)^func (Test\w+)\(t \*testing\.T\)`)
	err := filepath.WalkDir(root, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		src, err := os.ReadFile(path)
		for _, m := range declared.FindAllSubmatch(src, -1) {
			tests[string(m[1])] = true
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	sections := slices.Concat(strings.Split(readPage(t, "threat-model.md"), "\n## ")[1:], strings.Split(readPage(t, "threat-model-systems.md"), "\n## ")[1:])
	want := []string{
		"Fatigue", "Enumeration", "Guessing", "A code talked out of its owner", "Riding on a prompt", "A stolen password", "A stolen phone",
		"A hostile NAS", "An unknown caller at the page", "A flushed trail", "A hostile network", "A stolen database", "A database that several nodes share",
	}
	if len(sections) != len(want) {
		t.Fatalf("%d threats, want %d", len(sections), len(want))
	}
	named := regexp.MustCompile("`(Test\\w+)`")
	for i, s := range sections {
		if !strings.HasPrefix(s, want[i]+"\n") {
			t.Errorf("threat %d is not %q", i, want[i])
		}
		for _, part := range []string{"**The attacker", "**We do**", "**What remains**", "**Tests**"} {
			if strings.Count(s, part) != 1 {
				t.Errorf("%s: %q is there %d times", want[i], part, strings.Count(s, part))
			}
		}
		_, list, _ := strings.Cut(s, "**Tests**")
		names := named.FindAllStringSubmatch(list, -1)
		if len(names) == 0 {
			t.Errorf("%s names no test", want[i])
		}
		for _, m := range names {
			if !tests[m[1]] {
				t.Errorf("%s names %s, which does not exist", want[i], m[1])
			}
		}
	}
}
