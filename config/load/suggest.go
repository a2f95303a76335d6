package load

import (
	"maps"
	"slices"
	"strings"
)

// suggestKey is what an unknown key may have been meant to be: a key of another
// section, or a misspelt one of fs.
func (s Spec) suggestKey(key string, fs []field) string {
	here := keys(fs)
	near := Suggest(key, here)
	if near == "" && word.MatchString(key) {
		near = suggestPart(key, here)
	}
	root, entry := fields(s.Root), ""
	for _, f := range root {
		switch shape := f.shape(); {
		case shape == section && indexField(fields(f.typ), key) >= 0:
			return "; it belongs to " + f.key
		case shape == sections && s.variants(f) == nil && indexField(fields(f.typ.Elem()), key) >= 0:
			entry = f.key
		}
	}
	switch {
	case indexField(root, key) >= 0:
		return "; it belongs to the top level" + near
	case near == "" && entry != "":
		return "; it belongs to an entry of " + entry
	}
	return near
}

// suggestPart suggests the longest of words that is a part of the key, as in
// shared_secret, or has the key as a part.
func suggestPart(key string, words []string) string {
	best := ""
	for _, w := range words {
		if len(w) > len(best) && min(len(w), len(key)) >= 4 && (strings.Contains(key, w) || strings.Contains(w, key)) {
			best = w
		}
	}
	if best == "" {
		return ""
	}
	return "; did you mean " + Quote(best)
}

// renamed is the rule for a key of fs that had another name before, as the tag was
// of its field says; empty: no key had this name.
func renamed(key string, fs []field) string {
	for _, f := range fs {
		if was, ok := f.tag.Lookup("was"); !ok || was != key {
			continue
		}
		rule := "is now " + f.key
		if near, ok := strings.CutPrefix(Suggest(key, keys(fs)), "; "); ok {
			rule += "; or " + near
		}
		return rule
	}
	return ""
}

// OneOf is "one of a, b", or the only word.
func OneOf(words []string) string {
	if len(words) == 1 {
		return words[0]
	}
	return "one of " + strings.Join(words, ", ")
}

// Suggest is `; did you mean "…"` with the nearest of words, or nothing.
func Suggest(word string, words []string) string {
	best, least := "", 1+min(2, len(word)/2)
	for _, w := range words {
		if d := distance(strings.ToLower(word), strings.ToLower(w)); d < least {
			best, least = w, d
		}
	}
	if best == "" {
		return ""
	}
	return "; did you mean " + Quote(best)
}

// distance is the number of letters to add, drop, change or swap to get from a to b.
func distance(a, b string) int {
	if len(a) > 64 {
		return len(a)
	}
	before, last := make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := range len(a) {
		row := make([]int, len(b)+1)
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			row[j+1] = min(last[j+1]+1, row[j]+1, last[j]+cost)
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				row[j+1] = min(row[j+1], before[j-1]+1)
			}
		}
		before, last = last, row
	}
	return last[len(b)]
}

// Names returns the keys of a map in their order.
func Names[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

func keys(fs []field) []string {
	var ks []string
	for _, f := range fs {
		ks = append(ks, f.key)
	}
	return ks
}
