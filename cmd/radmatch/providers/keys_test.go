package providers

import (
	"reflect"
	"strings"
	"testing"

	"github.com/radmatch/radmatch/config"
)

// eachSection calls f for each section of the file that t is read from, with its
// path and the Go fields of its keys, those of inlined structs among them.
func eachSection(path string, t reflect.Type, f func(path string, fields []reflect.StructField)) {
	var all []reflect.StructField
	var collect func(t reflect.Type)
	collect = func(t reflect.Type) {
		for i := range t.NumField() {
			field := t.Field(i)
			key, option, _ := strings.Cut(field.Tag.Get("yaml"), ",")
			switch {
			case key == "-" || !field.IsExported():
			case option == "inline":
				collect(field.Type)
			default:
				all = append(all, field)
			}
		}
	}
	collect(t)
	f(path, all)
	for _, field := range all {
		inner := field.Type
		if inner.Kind() == reflect.Slice {
			inner = inner.Elem()
		}
		if inner.Kind() == reflect.Struct && hasKeys(inner) {
			eachSection(path+"."+key(field), inner, f)
		}
	}
}

func key(f reflect.StructField) string {
	key, _, _ := strings.Cut(f.Tag.Get("yaml"), ",")
	return key
}

func hasKeys(t reflect.Type) bool {
	for i := range t.NumField() {
		if _, ok := t.Field(i).Tag.Lookup("yaml"); ok {
			return true
		}
	}
	return false
}

// allSections calls f for each section of radmatch.yaml, those of the providers too.
func allSections(f func(path string, fields []reflect.StructField)) {
	eachSection("radmatch.yaml", reflect.TypeFor[config.Config](), f)
	for name, settings := range Known().Primaries {
		eachSection("primaries "+name, reflect.TypeOf(settings), f)
	}
	for name, settings := range Known().Push {
		eachSection("push "+name, reflect.TypeOf(settings), f)
	}
}

// TestFieldsAreCalledAsTheirKeys: a field has the name of its key, without the
// underscores. Anyone who searches the code for a key finds all of it.
func TestFieldsAreCalledAsTheirKeys(t *testing.T) {
	n := 0
	allSections(func(path string, fields []reflect.StructField) {
		for _, f := range fields {
			n++
			if k := key(f); !strings.EqualFold(f.Name, strings.ReplaceAll(k, "_", "")) {
				t.Errorf("%s: got field %s for key %s, want the same name", path, f.Name, k)
			}
		}
	})
	if n < 150 {
		t.Errorf("got %d keys, want all", n)
	}
}

// TestKeysAreFarApart: no two keys of a section differ in one letter only, and none
// is the former name of another key there.
func TestKeysAreFarApart(t *testing.T) {
	// Of a directory either says where it is, and one that is taken for the other is told at once.
	may := [2]string{"url", "urls"}
	allSections(func(path string, fields []reflect.StructField) {
		for i, f := range fields {
			if f.Tag.Get("was") == key(f) {
				t.Errorf("%s: %s was called so before", path, key(f))
			}
			for _, other := range fields[:i] {
				a, b := key(other), key(f)
				if oneLetter(a, b) && [2]string{a, b} != may {
					t.Errorf("%s: %s and %s differ in one letter", path, a, b)
				}
				if was := other.Tag.Get("was"); was == b || f.Tag.Get("was") == a {
					t.Errorf("%s: %s and %s: one was called as the other is now", path, a, b)
				}
			}
		}
	})
}

// oneLetter reports whether one letter added, dropped or changed makes b of a.
func oneLetter(a, b string) bool {
	if len(a) > len(b) {
		a, b = b, a
	}
	i := 0
	for i < len(a) && a[i] == b[i] {
		i++
	}
	switch len(b) - len(a) {
	case 0:
		return a[i+1:] == b[i+1:]
	case 1:
		return a[i:] == b[i+1:]
	}
	return false
}
