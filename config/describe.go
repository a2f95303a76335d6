package config

import (
	"fmt"
	"reflect"
	"strings"
)

// lineWidth is where comments are broken.
const lineWidth = 96

// Describe returns a file with every key, each with its meaning: what must be
// there with an example, all else commented out. It loads. secret is the shared
// secret in it.
func Describe(known Known, secret string) string {
	d := &describer{known: known, secret: secret}
	d.comment("", "radmatch.yaml with every key. A key that is commented out shows its default, or an example where it "+
		"has none. A relative path is seen from the folder of this file. Durations: 500ms, 55s, 3m, 12h, 180d.")
	for _, f := range fields(reflect.TypeFor[Config]()) {
		d.b.WriteString("\n")
		d.field(f, "")
	}
	return d.b.String()
}

type describer struct {
	known  Known
	secret string
	b      strings.Builder
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
		d.field(f, indent)
	}
}

// sections prints one entry, or those of the types of providers. A list that the
// file need not have is commented out.
func (d *describer) sections(f field, indent string) {
	if elem := f.typ.Elem(); elem != clientType && elem != providerType && !f.required() {
		f.tag += ` required:"true"`
		one := &describer{known: d.known, secret: d.secret}
		one.sections(f, indent)
		for line := range strings.Lines(one.b.String()) {
			d.b.WriteString(strings.Replace(line, indent, indent+"#", 1))
		}
		return
	}
	fmt.Fprintf(&d.b, "%s%s:\n", indent, f.key)
	switch f.typ.Elem() {
	case clientType:
		d.entry(indent, d.known.clientFields())
		d.comment(indent+"    ", "Any key of mfa: may stand here too.")
	case providerType:
		d.providers(f, indent)
	default:
		d.entry(indent, fields(f.typ.Elem()))
	}
}

// providers prints one entry for each type. All but the first are commented out,
// so that the file loads.
func (d *describer) providers(f field, indent string) {
	types := d.known.Primaries
	if f.key == "push" {
		types = d.known.Push
	}
	for n, name := range names(types) {
		fs := fields(providerType)
		for i := range fs {
			fs[i].tag += reflect.StructTag(fmt.Sprintf(` example:%q`, name))
		}
		one := &describer{known: d.known, secret: d.secret}
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
	case f.shape() == replies:
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
