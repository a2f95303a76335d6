package load

import (
	"fmt"
	"reflect"
	"strings"
)

// Spec is what a file may have. The zero value of all but Root will do.
type Spec struct {
	Title string       // what the file is called, such as radmatch.yaml
	Root  reflect.Type // the struct that the whole file is read into
	// Variants has, for a list at the root whose entries have a key "type", the zero
	// value of the struct of the further keys, by the value of that key.
	Variants map[string]map[string]any
	// Enums has the values of keys that only the program knows, by LIST.KEY. They are
	// documented; the program checks them.
	Enums map[string][]string
	// Scalar is called for each value that fits, with the path of its key and the text.
	Scalar func(key, value string)
}

// KeySets is a section of which one set of keys must be there, whole. A JSON Schema
// says so; the program checks it.
type KeySets interface {
	KeySets() [][]string
}

// variants returns the types of the entries of a list at the root; nil: they have none.
func (s Spec) variants(f field) map[string]any {
	types, ok := s.Variants[f.key]
	if !ok || f.shape() != sections || indexField(fields(f.typ.Elem()), "type") < 0 {
		return nil
	}
	return types
}

// entryFields returns the keys of the entries of a list of sections.
func (s Spec) entryFields(f field) []field {
	fs := fields(f.typ.Elem())
	for i := range fs {
		if e := s.Enums[f.key+"."+fs[i].key]; e != nil {
			fs[i].tag += reflect.StructTag(fmt.Sprintf(` enum:"%s"`, strings.Join(e, ",")))
		}
	}
	return fs
}

// Faults says what is wrong with the tags of a Spec, for its tests: a key without a
// sentence, one with neither a default nor an example, bounds that bound nothing. It
// panics at a default or a bound that is no value of its key.
func Faults(s Spec) []error {
	var faults []error
	described, markdown := Describe(s, "", "a-secret-of-16-o", true), Markdown(s, "", "")
	var walk func(path string, fs []field)
	walk = func(path string, fs []field) {
		for _, f := range fs {
			key, shape := Join(path, f.key), f.shape()
			fault := func(what string) { faults = append(faults, fmt.Errorf("%s: %s", key, what)) }
			if d := f.doc(); !strings.HasSuffix(d, ".") && !strings.HasSuffix(d, ".)") {
				fault("its doc is no sentence")
			}
			if _, ok := f.defaultValue(); !ok && shape != section && shape != sections && !f.required() && f.tag.Get("example") == "" && f.typ != secretsType {
				fault("it has neither default nor example")
			}
			if f.tag.Get("min") != "" && f.bound(f.tag.Get("min")) >= f.bound(f.tag.Get("max")) {
				fault("its bounds leave nothing between them")
			}
			if !strings.Contains(described, f.key+":") || !strings.Contains(markdown, f.key) {
				fault("it is not described")
			}
			switch shape {
			case section:
				walk(key, fields(f.typ))
			case sections:
				walk(key, fields(f.typ.Elem()))
			}
		}
	}
	walk("", fields(s.Root))
	for list, types := range s.Variants {
		for name, settings := range types {
			walk(list+" "+name, settingsFields(settings))
		}
	}
	return faults
}

// ownFields leaves out the keys of inlined structs, which are described elsewhere.
func ownFields(fs []field) []field {
	var own []field
	for _, f := range fs {
		if !f.inlined {
			own = append(own, f)
		}
	}
	return own
}

// inlineDocs is what is to be said of the structs that are inlined in one.
func inlineDocs(t reflect.Type) (docs []string) {
	for i := range t.NumField() {
		if f := t.Field(i); strings.HasSuffix(f.Tag.Get("yaml"), ",inline") {
			docs = append(docs, f.Tag.Get("doc"))
		}
	}
	return docs
}
