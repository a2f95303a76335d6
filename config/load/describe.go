package load

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
)

// lineWidth is where comments are broken.
const lineWidth = 96

// Describe returns a file with every key, each with its meaning: what must be
// there with an example, everything else commented out. It loads. head is the comment at
// its beginning, secret the value of its secrets. Without all it has only the keys
// that must be there, and those that a first reader needs: their field has the tag
// first.
func Describe(spec Spec, head, secret string, all bool) string {
	d := &describer{spec: spec, secret: secret, all: all}
	d.comment("", head)
	for _, f := range fields(spec.Root) {
		if !d.shows(f) {
			continue
		}
		d.b.WriteString("\n")
		d.field(f, "")
	}
	return d.b.String()
}

type describer struct {
	spec   Spec
	secret string
	all    bool
	b      strings.Builder
}

// shows reports whether a key is printed.
func (d *describer) shows(f field) bool { return d.all || f.required() || hasFirst(f) }

// hasFirst reports whether a key, or one below it, is for a first reader.
func hasFirst(f field) bool {
	switch f.shape() {
	case section:
		return slices.ContainsFunc(fields(f.typ), hasFirst)
	case sections:
		return slices.ContainsFunc(fields(f.typ.Elem()), hasFirst)
	}
	return f.first()
}

func (d *describer) comment(indent, text string) {
	line := ""
	for _, word := range strings.Fields(text) {
		if line != "" && len(indent)+len(line)+len(word) > lineWidth-3 {
			fmt.Fprintf(&d.b, "%s# %s\n", indent, line)
			line = ""
		}
		line = strings.TrimPrefix(line+" "+word, " ")
	}
	if line != "" {
		fmt.Fprintf(&d.b, "%s# %s\n", indent, line)
	}
}

func (d *describer) field(f field, indent string) {
	d.comment(indent, f.doc()+" "+f.bounds())
	switch f.shape() {
	case section:
		fmt.Fprintf(&d.b, "%s%s:\n", indent, f.key)
		d.fields(fields(f.typ), indent+"  ")
	case sections:
		d.sections(f, indent)
	default:
		mark := "#"
		if f.required() || f.typ == secretsType || f.tag.Get("shown") != "" {
			mark = ""
		}
		fmt.Fprintf(&d.b, "%s%s%s: %s\n", indent, mark, f.key, d.text(f))
	}
}

func (d *describer) fields(fs []field, indent string) {
	for _, f := range fs {
		if d.shows(f) {
			d.field(f, indent)
		}
	}
}

// sections prints one entry, or those of the types of providers. A list that the
// file need not have is commented out.
func (d *describer) sections(f field, indent string) {
	types := d.spec.variants(f)
	if types == nil && !f.required() {
		f.tag += ` required:"true"`
		one := d.part()
		one.sections(f, indent)
		for line := range strings.Lines(one.b.String()) {
			d.b.WriteString(strings.Replace(line, indent, indent+"#", 1))
		}
		return
	}
	fmt.Fprintf(&d.b, "%s%s:\n", indent, f.key)
	if types != nil {
		d.entries(f, types, indent)
		return
	}
	d.entry(indent, ownFields(d.spec.entryFields(f)))
	for _, doc := range inlineDocs(f.typ.Elem()) {
		d.comment(indent+"    ", doc)
	}
}

// part returns a describer of the same for a part of the file.
func (d *describer) part() *describer { return &describer{spec: d.spec, secret: d.secret, all: d.all} }

// entries prints one entry for each type. All but the first are commented out,
// so that the file loads.
func (d *describer) entries(f field, types map[string]any, indent string) {
	for n, name := range Names(types) {
		fs := fields(f.typ.Elem())
		for i := range fs {
			fs[i].tag += reflect.StructTag(fmt.Sprintf(` example:%q`, name))
		}
		one := d.part()
		one.entry(indent, append(fs, settingsFields(types[name])...))
		for line := range strings.Lines(one.b.String()) {
			if n > 0 {
				line = "#" + line
			}
			d.b.WriteString(line)
		}
	}
}

// entry prints one entry of a list of sections. Its first key is the name.
func (d *describer) entry(indent string, fs []field) {
	d.comment(indent+"  ", fs[0].doc())
	fmt.Fprintf(&d.b, "%s  - %s: %s\n", indent, fs[0].key, d.text(fs[0]))
	d.fields(fs[1:], indent+"    ")
}

// text is the value that a key is shown with.
func (d *describer) text(f field) string {
	v, ok := f.defaultValue()
	text := f.tag.Get("example")
	switch {
	case f.typ == secretsType:
		return fmt.Sprintf("%q", d.secret)
	case f.shape() == pairs:
		return text
	case ok && f.shape() == list:
		return flowList(v.([]string))
	case ok && f.typ.Kind() == reflect.String:
		return plain(reflect.ValueOf(v).String()) // a secret's String shows nothing, not even that there is none
	case ok:
		return f.tag.Get("default")
	case f.shape() == list:
		return flowList([]string{text})
	}
	return plain(text)
}

func flowList(texts []string) string {
	quoted := make([]string, len(texts))
	for i, t := range texts {
		quoted[i] = plain(t)
	}
	return "[" + strings.Join(quoted, ", ") + "]"
}

// plain quotes a text that YAML would take for something else.
func plain(text string) string {
	switch text {
	case "", "yes", "no", "on", "off", "true", "false", "null":
		return fmt.Sprintf("%q", text)
	}
	if strings.ContainsAny(text, ":#,[]{}&*!|>'\"%@` ") {
		return fmt.Sprintf("%q", text)
	}
	return text
}

// bounds says what the tags allow.
func (f field) bounds() string {
	switch {
	case f.enum() != nil:
		return "One of " + strings.Join(f.enum(), ", ") + "."
	case f.tag.Get("min") != "":
		return "From " + f.tag.Get("min") + " to " + f.tag.Get("max") + "."
	}
	return ""
}
