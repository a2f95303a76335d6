package load

import (
	"cmp"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/radmatch/radmatch/mfa/textfile"
)

// maxNodes bounds what aliases of aliases can unfold to.
const maxNodes = 1 << 19

// tree walks the nodes of the file beside the structs. A node that does not fit is
// reported, what fits is returned as plain maps and lists with typed values in
// them.
type tree struct {
	*Report
	spec  Spec
	nodes int // visited
}

// full reports whether the file has more nodes than are read; it counts one.
func (t *tree) full() bool {
	t.nodes++
	return t.nodes > maxNodes
}

// pair is one key of a mapping with its value.
type pair struct {
	key   *yaml.Node
	value *yaml.Node
}

// section reads a mapping whose keys are fs.
func (t *tree) section(n *yaml.Node, fs []field, path string) map[string]any {
	m := map[string]any{}
	for _, p := range t.pairs(n, path) {
		name := p.key.Value
		key := Join(path, name)
		i := indexField(fs, name)
		switch {
		case i >= 0:
			t.lines[key] = p.key.Line
			if v, ok := t.field(p.value, fs[i], key); ok {
				m[name] = v
			}
		default:
			// The value is not shown: it may be a secret under a misspelt key.
			t.lines[key] = p.key.Line
			t.Add(key, "", "%s", cmp.Or(renamed(name, fs), "unknown key"+t.spec.suggestKey(name, fs)))
		}
	}
	for _, f := range fs {
		if key := Join(path, f.key); f.required() && (!t.Set(key) || m[f.key] == "") {
			t.Add(key, "", "must be there")
		}
	}
	return m
}

// pairs returns the keys of a mapping, with those of `<<` merged behind.
func (t *tree) pairs(n *yaml.Node, path string) []pair {
	var ps, merged []pair
	seen := map[string]int{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		k, v := n.Content[i], textfile.Resolve(n.Content[i+1])
		t.nodes += 2
		switch {
		case k.Tag == "!!merge":
			merged = append(merged, t.merge(v, k.Line, path)...)
		case k.Kind != yaml.ScalarNode:
			t.addAt(k.Line, path, "a key must be a word")
		case seen[k.Value] > 0:
			t.addAt(k.Line, Join(path, k.Value), "the key is in line %d already", seen[k.Value])
		default:
			seen[k.Value] = k.Line
			ps = append(ps, pair{k, v})
		}
	}
	for _, p := range merged {
		if seen[p.key.Value] == 0 {
			seen[p.key.Value] = p.key.Line
			ps = append(ps, p)
		}
	}
	return ps
}

func (t *tree) merge(n *yaml.Node, line int, path string) []pair {
	from := []*yaml.Node{n}
	if n.Kind == yaml.SequenceNode {
		from = n.Content
	}
	var ps []pair
	for _, f := range from {
		f = textfile.Resolve(f)
		if f.Kind != yaml.MappingNode {
			t.addAt(line, path, "<< must name a mapping")
			continue
		}
		for i := 0; i+1 < len(f.Content); i += 2 {
			t.nodes += 2
			if k := f.Content[i]; k.Kind == yaml.ScalarNode && k.Tag != "!!merge" {
				ps = append(ps, pair{k, textfile.Resolve(f.Content[i+1])})
			} else {
				t.addAt(k.Line, path, "a mapping that << names must have words as keys, and no << of its own")
			}
		}
	}
	return ps
}

// field reads the value of one key. ok is false if the key counts as unset.
func (t *tree) field(n *yaml.Node, f field, key string) (v any, ok bool) {
	if t.full() {
		return nil, false
	}
	shape := f.shape()
	if n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null" {
		switch {
		case shape == section: // it may stand there with all its keys commented out
			delete(t.lines, key)
		case f.required():
			t.Add(key, "", "must have a value")
		default:
			t.Add(key, "", "must have a value; remove the key for the default")
		}
		return nil, false
	}
	switch shape {
	case section:
		if n.Kind != yaml.MappingNode {
			t.Add(key, t.got(n, f), "must be a section of keys")
			return nil, false
		}
		return t.section(n, fields(f.typ), key), true
	case sections:
		return t.sections(n, f, key)
	case list:
		return t.list(n, f, key)
	case pairs:
		return t.namedValues(n, key), true
	}
	if f.typ == secretsType && n.Kind == yaml.SequenceNode {
		return t.list(n, f, key)
	}
	v, ok = t.scalar(n, f, key)
	if ok && f.typ == secretsType {
		v = []any{v}
	}
	return v, ok
}

func (t *tree) list(n *yaml.Node, f field, key string) (any, bool) {
	if n.Kind != yaml.SequenceNode {
		t.Add(key, t.got(n, f), "must be a list, such as [a, b]")
		return nil, false
	}
	vs := []any{}
	for i, item := range n.Content {
		if t.full() {
			break
		}
		k := Index(key, i)
		t.lines[k] = item.Line
		if v, ok := t.scalar(textfile.Resolve(item), f, k); ok {
			vs = append(vs, v)
		}
	}
	return vs, true
}

// sections reads a list of mappings. A mapping that does not fit leaves an
// empty one, so that the indexes of the others stay what they are.
func (t *tree) sections(n *yaml.Node, f field, key string) (any, bool) {
	if n.Kind != yaml.SequenceNode {
		t.Add(key, t.got(n, f), `must be a list, each entry with "- %s:"`, fields(f.typ.Elem())[0].key)
		return nil, false
	}
	vs := []any{}
	for i, item := range n.Content {
		if t.full() {
			break
		}
		k := Index(key, i)
		t.lines[k] = item.Line
		m := map[string]any{}
		if item = textfile.Resolve(item); item.Kind != yaml.MappingNode {
			t.Add(k, t.got(item, f), `must be an entry with "%s:"`, fields(f.typ.Elem())[0].key)
		} else if types := t.spec.variants(f); types != nil {
			m = t.variant(item, f, types, k)
		} else {
			m = t.section(item, fields(f.typ.Elem()), k)
		}
		vs = append(vs, m)
	}
	return vs, true
}

// namedValues reads named values: a section whose keys are names and whose values are one
// value or a list of them, or a list of such sections.
func (t *tree) namedValues(n *yaml.Node, key string) Pairs {
	items := []*yaml.Node{n}
	at := func(int) string { return key }
	if n.Kind == yaml.SequenceNode {
		items, at = n.Content, func(i int) string { return Index(key, i) }
	}
	var ps Pairs
	for i, item := range items {
		if t.full() {
			break
		}
		k := at(i)
		if t.lines[k] == 0 {
			t.lines[k] = item.Line
		}
		if item = textfile.Resolve(item); item.Kind != yaml.MappingNode {
			t.Add(k, "", "must be a section of attributes, such as Filter-Id: staff")
			continue
		}
		for _, p := range t.pairs(item, k) {
			ps = append(ps, t.namedValue(p, Join(k, p.key.Value))...)
		}
	}
	if len(ps) == 0 && !t.Failed(key) {
		t.Add(key, "", "must have an attribute")
	}
	return ps
}

// namedValue reads the values of one name.
func (t *tree) namedValue(p pair, key string) (ps Pairs) {
	t.lines[key] = p.key.Line
	values := []*yaml.Node{p.value}
	if p.value.Kind == yaml.SequenceNode {
		values = p.value.Content
	}
	for _, n := range values {
		if t.full() {
			break
		}
		// As a secret: the value may be one, and is not repeated.
		if v, ok := t.scalar(textfile.Resolve(n), field{typ: secretType}, key); ok {
			ps = append(ps, Pair{Name: p.key.Value, Value: string(v.(Secret)), Where: Where(t.file, p.key.Line, key)})
		}
	}
	return ps
}

// variant reads an entry whose further keys depend on its type.
func (t *tree) variant(n *yaml.Node, f field, types map[string]any, key string) map[string]any {
	fs := fields(f.typ.Elem())
	typ := ""
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == "type" {
			typ = textfile.Resolve(n.Content[i+1]).Value
			t.lines[Join(key, "type")] = n.Content[i].Line
		}
	}
	settings, ok := types[typ]
	switch {
	case ok:
		fs = append(fs, settingsFields(settings)...)
		return t.section(n, fs, key)
	case typ == "":
		t.Add(Join(key, "type"), "", "must be %s", OneOf(Names(types)))
	default:
		t.Add(Join(key, "type"), Quote(typ), "must be %s%s", OneOf(Names(types)), Suggest(typ, Names(types)))
	}
	return map[string]any{} // what its other keys mean is not known
}

// scalar reads one value.
func (t *tree) scalar(n *yaml.Node, f field, key string) (any, bool) {
	if n.Kind != yaml.ScalarNode {
		t.Add(key, t.got(n, f), "must be a single value")
		return nil, false
	}
	switch n.ShortTag() {
	case "!!null":
		t.Add(key, "", "must have a value")
		return nil, false
	case "!!str", "!!bool", "!!int", "!!float", "!!timestamp":
	default:
		t.Add(key, "", "must be plain text; a text that begins with ! must be in quotes")
		return nil, false
	}
	// Texts are taken as typed: a secret of digits keeps its leading zero.
	v, err := f.value(n.Value)
	if err != nil {
		t.Add(key, t.got(n, f), "%s", err)
		return nil, false
	}
	if t.spec.Scalar != nil {
		t.spec.Scalar(key, n.Value)
	}
	return v, true
}

// got shows a value that is wrong, unless it may be a secret.
func (t *tree) got(n *yaml.Node, f field) string {
	switch {
	case f.typ == secretsType || f.typ == secretType:
		return ""
	case n.Kind == yaml.SequenceNode:
		return "a list"
	case n.Kind == yaml.MappingNode:
		return "a section"
	case f.shape() == section || f.shape() == sections:
		return "a single value" // perhaps a secret that is indented wrongly
	}
	return Quote(n.Value)
}

// Quote is text as an error shows it: on one line, and cut where it is long.
func Quote(text string) string {
	const most = 64
	if len(text) > most {
		return strconv.QuoteToASCII(strings.ToValidUTF8(text[:most], "")) + "…"
	}
	return strconv.QuoteToASCII(text)
}

var word = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)

// Join is the path of a key below path.
func Join(path, key string) string {
	if !word.MatchString(key) {
		key = Quote(key)
	}
	if path == "" {
		return key
	}
	return path + "." + key
}

// Index is the path of the entry i of the list at path.
func Index(path string, i int) string { return fmt.Sprintf("%s[%d]", path, i) }

func indexField(fs []field, key string) int {
	for i, f := range fs {
		if f.key == key {
			return i
		}
	}
	return -1
}
