package load

import (
	"encoding/json"
	"reflect"
	"strings"
)

// node is a node of a JSON Schema.
type node = map[string]any

const (
	durationForm = `^([0-9]+d)?([0-9.]+(ns|us|µs|ms|s|m|h))*$`
	sizeForm     = `^[0-9]+ ?([KMGT]i?)?B$`
)

// Schema returns the JSON Schema of the file (draft 2020-12), for editors. It
// knows keys, kinds and bounds; rules over more than one key only Load knows.
func Schema(spec Spec) ([]byte, error) {
	root := spec.sectionSchema(fields(spec.Root))
	root["$schema"] = "https://json-schema.org/draft/2020-12/schema"
	root["title"] = spec.Title
	return json.MarshalIndent(root, "", "  ")
}

func (s Spec) sectionSchema(fs []field) node {
	properties, required := node{}, []string{}
	for _, f := range fs {
		properties[f.key] = s.fieldSchema(f)
		if f.required() {
			required = append(required, f.key)
		}
	}
	n := node{"type": "object", "properties": properties, "additionalProperties": false}
	if len(required) > 0 {
		n["required"] = required
	}
	return n
}

func (s Spec) fieldSchema(f field) node {
	var n node
	switch f.shape() {
	case section:
		n = s.sectionSchema(fields(f.typ))
		n["type"] = []string{"object", "null"} // all its keys may be commented out
	case sections:
		n = node{"type": "array", "items": s.entrySchema(f)}
	case list:
		n = node{"type": "array", "items": f.scalarSchema()}
	case pairs:
		n = pairsSchema()
	default:
		n = f.scalarSchema()
	}
	if f.required() && n["type"] == "array" {
		n["minItems"] = 1
	}
	if f.doc() != "" {
		n["description"] = f.doc()
	}
	if v, ok := f.defaultValue(); ok {
		n["default"] = jsonDefault(f, v)
	}
	return n
}

func (s Spec) entrySchema(f field) node {
	if types := s.variants(f); types != nil {
		return s.variantSchema(f, types)
	}
	n := s.sectionSchema(s.entryFields(f))
	if sets, ok := reflect.Zero(f.typ.Elem()).Interface().(KeySets); ok {
		oneOf := []node{}
		for _, keys := range sets.KeySets() {
			oneOf = append(oneOf, node{"required": keys})
		}
		n["oneOf"] = oneOf
	}
	return n
}

func (s Spec) variantSchema(f field, types map[string]any) node {
	oneOf := []node{}
	for _, name := range Names(types) {
		n := s.sectionSchema(append(fields(f.typ.Elem()), settingsFields(types[name])...))
		n["properties"].(node)["type"] = node{"const": name}
		oneOf = append(oneOf, n)
	}
	return node{"oneOf": oneOf}
}

// pairsSchema is the schema of named values.
func pairsSchema() node {
	value := node{"type": []string{"string", "number", "boolean"}}
	one := node{"type": "object", "additionalProperties": node{"oneOf": []node{value, {"type": "array", "items": value}}}}
	return node{"oneOf": []node{one, {"type": "array", "items": one}}}
}

// scalarSchema is the schema of a field's value, or of the elements of its list.
func (f field) scalarSchema() node {
	text := node{"type": "string"}
	switch {
	case f.yesNo(): // an editor that reads YAML 1.1 has true and false for them
		enum := []any{}
		for _, word := range f.enum() {
			enum = append(enum, word)
		}
		return node{"enum": append(enum, true, false)}
	case f.enum() != nil:
		return node{"enum": f.enum()}
	case f.typ == durationType:
		text["pattern"] = durationForm
	case f.typ == sizeType:
		text["pattern"] = sizeForm
	case f.typ == secretsType:
		if least, most, ok := strings.Cut(f.tag.Get("octets"), ","); ok {
			text["minLength"], text["maxLength"] = json.Number(least), json.Number(most)
		}
		return node{"oneOf": []node{text, {"type": "array", "items": text, "minItems": 1, "maxItems": 2}}}
	case f.typ.Kind() == reflect.Int:
		return node{"type": "integer", "minimum": f.bound(f.tag.Get("min")), "maximum": f.bound(f.tag.Get("max"))}
	case f.typ.Kind() == reflect.Bool || f.typ.Kind() == reflect.Pointer:
		return node{"type": "boolean"}
	}
	return text
}

func jsonDefault(f field, v any) any {
	switch f.typ {
	case durationType, sizeType:
		return f.tag.Get("default")
	}
	if f.typ.Kind() == reflect.String { // a secret marshals to what is no default
		return f.tag.Get("default")
	}
	return v
}
