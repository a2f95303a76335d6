package load

import (
	"fmt"
	"strings"
)

// Markdown returns the reference of all keys, between head and tail. Those that a
// first reader needs are bold.
func Markdown(spec Spec, head, tail string) string {
	m := &markdown{spec: spec}
	m.b.WriteString(head)
	var top []field
	for _, f := range fields(spec.Root) {
		if s := f.shape(); s != section && s != sections {
			top = append(top, f)
		}
	}
	m.b.WriteString("\n## At the root\n\n")
	m.table(top, "")
	for _, f := range fields(spec.Root) {
		switch f.shape() {
		case section:
			m.heading("`"+f.key+"`", f)
			m.table(fields(f.typ), "")
		case sections:
			m.sections(f)
		}
	}
	m.b.WriteString(tail)
	return m.b.String()
}

type markdown struct {
	spec Spec
	b    strings.Builder
}

func (m *markdown) heading(title string, f field) {
	fmt.Fprintf(&m.b, "\n## %s\n\n%s\n\n", title, f.doc())
}

func (m *markdown) sections(f field) {
	m.heading("`"+f.key+"`: a list", f)
	types := m.spec.variants(f)
	if types == nil {
		m.table(ownFields(m.spec.entryFields(f)), "")
		return
	}
	m.table(fields(f.typ.Elem()), "")
	for _, name := range Names(types) {
		fs := settingsFields(types[name])
		if len(fs) == 0 {
			fmt.Fprintf(&m.b, "\n`type: %s` has no other keys.\n", name)
			continue
		}
		fmt.Fprintf(&m.b, "\n`type: %s` has also:\n\n", name)
		m.table(fs, "")
	}
}

// table prints the keys of a section and of those in it.
func (m *markdown) table(fs []field, prefix string) {
	if prefix == "" {
		m.b.WriteString("| key | default | meaning |\n| --- | --- | --- |\n")
	}
	for _, f := range fs {
		switch f.shape() {
		case section:
			m.table(fields(f.typ), prefix+f.key+".")
		case sections:
			m.row(prefix, f)
			m.table(fields(f.typ.Elem()), prefix+f.key+"[].")
		default:
			m.row(prefix, f)
		}
	}
}

func (m *markdown) row(prefix string, f field) {
	doc := strings.TrimSpace(f.doc() + " " + f.bounds())
	key := "`" + prefix + f.key + "`"
	if f.first() {
		key = "**" + key + "**"
	}
	fmt.Fprintf(&m.b, "| %s | %s | %s |\n", key, defaultCell(f), strings.ReplaceAll(doc, "|", `\|`))
}

func defaultCell(f field) string {
	v, ok := f.defaultValue()
	switch {
	case f.required():
		return "required"
	case !ok, f.tag.Get("default") == "" && f.shape() == scalar:
		return ""
	case f.shape() == list:
		return "`" + flowList(v.([]string)) + "`"
	}
	return "`" + f.tag.Get("default") + "`"
}
