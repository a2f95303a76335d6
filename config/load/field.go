package load

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
)

// field is one key of a section, as the tags of its struct field say.
type field struct {
	key     string
	typ     reflect.Type
	tag     reflect.StructTag
	inlined bool // its struct is inlined in that of the section
}

// fields returns the keys of a section in the order of the struct, those of
// inlined structs among them. A field without a yaml tag goes by its name in
// lower case, as in the yaml package.
func fields(t reflect.Type) []field {
	var fs []field
	for i := range t.NumField() {
		f := t.Field(i)
		key, opts, _ := strings.Cut(f.Tag.Get("yaml"), ",")
		switch {
		case key == "-" || !f.IsExported():
		case opts == "inline":
			for _, in := range fields(f.Type) {
				in.inlined = true
				fs = append(fs, in)
			}
		default:
			if key == "" {
				key = strings.ToLower(f.Name)
			}
			fs = append(fs, field{key: key, typ: f.Type, tag: f.Tag})
		}
	}
	return fs
}

func (f field) doc() string    { return f.tag.Get("doc") }
func (f field) required() bool { return f.tag.Get("required") != "" }
func (f field) first() bool    { return f.tag.Get("first") != "" }

func (f field) enum() []string {
	if e := f.tag.Get("enum"); e != "" {
		return strings.Split(e, ",")
	}
	return nil
}

// yesNo reports whether the key takes the words yes and no.
func (f field) yesNo() bool {
	e := f.enum()
	return slices.Contains(e, "yes") && slices.Contains(e, "no")
}

// shape is what kind of YAML node a field takes.
type shape int

const (
	scalar shape = iota
	list         // of scalars
	section
	sections // a list of them
	pairs    // named values, or a list of such sections
)

func (f field) shape() shape {
	switch {
	case f.typ == prefixType || f.typ == secretsType:
		return scalar
	case f.typ == pairsType:
		return pairs
	case f.typ.Kind() == reflect.Struct:
		return section
	case f.typ.Kind() == reflect.Slice && f.typ.Elem() != prefixType && f.typ.Elem().Kind() == reflect.Struct:
		return sections
	case f.typ.Kind() == reflect.Slice:
		return list
	}
	return scalar
}

// settingsFields returns the keys of a provider's settings. Those without a
// default are required.
func settingsFields(settings any) []field {
	fs := fields(reflect.TypeOf(settings))
	for i, f := range fs {
		if _, ok := f.tag.Lookup("default"); !ok {
			fs[i].tag += ` required:"true"`
		}
	}
	return fs
}

// Keys returns the keys of a section in the order of the struct, those of inlined
// structs among them.
func Keys(t reflect.Type) []string { return keys(fields(t)) }

// value turns a text into a value of the field, or of its elements, and checks
// it against the tags.
func (f field) value(text string) (any, error) {
	t := f.typ
	if t.Kind() == reflect.Slice {
		t = t.Elem()
	}
	if f.yesNo() { // YAML 1.1 reads yes and no as true and false, and so do many editors
		switch text {
		case "true":
			text = "yes"
		case "false":
			text = "no"
		}
	}
	v, err := parse(t, text)
	if err != nil {
		return nil, err
	}
	if e := f.enum(); e != nil {
		for _, s := range e {
			if fmt.Sprint(v) == s {
				return v, nil
			}
		}
		return nil, fmt.Errorf("must be %s", OneOf(e))
	}
	lo, hi := f.tag.Get("min"), f.tag.Get("max")
	if lo == "" {
		return v, nil
	}
	n := reflect.ValueOf(v).Int()
	if n < f.bound(lo) || n > f.bound(hi) {
		return nil, fmt.Errorf("must be from %s to %s", lo, hi)
	}
	return v, nil
}

func (f field) bound(text string) int64 {
	v, err := parse(f.typ, text)
	if err != nil {
		panic("load: internal error: bound of " + f.key)
	}
	return reflect.ValueOf(v).Int()
}

// defaultValue is the value where the file has none; ok is false if there is no such value.
func (f field) defaultValue() (v any, ok bool) {
	text, ok := f.tag.Lookup("default")
	if !ok {
		return nil, false
	}
	if f.shape() == sections {
		return []any{}, true
	}
	if f.shape() == list {
		texts := []string{}
		if text != "" {
			texts = strings.Split(text, ",")
		}
		return texts, true
	}
	v, err := f.value(text)
	if err != nil {
		panic("load: internal error: default of " + f.key)
	}
	return v, true
}

// Defaults returns the defaults of a section and of the sections in it, by key.
func Defaults(t reflect.Type) map[string]any {
	m := map[string]any{}
	for _, f := range fields(t) {
		if f.shape() == section {
			m[f.key] = Defaults(f.typ)
		} else if v, ok := f.defaultValue(); ok {
			m[f.key] = v
		}
	}
	return m
}
