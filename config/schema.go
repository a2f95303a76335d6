package config

import (
	"encoding/json"
	"reflect"
)

// node is a node of a JSON Schema.
type node = map[string]any

const (
	durationForm = `^([0-9]+d)?([0-9.]+(ns|us|µs|ms|s|m|h))*$`
	sizeForm     = `^[0-9]+ ?([KMGT]i?)?B$`
)

// Schema returns the JSON Schema of the file (draft 2020-12), for editors. It
// knows keys, kinds and bounds; what needs more than one key only Load knows.
func Schema(known Known) ([]byte, error) {
	root := known.sectionSchema(fields(reflect.TypeFor[Config]()))
	root["$schema"] = "https://json-schema.org/draft/2020-12/schema"
	root["title"] = "radmatch.yaml"
	return json.MarshalIndent(root, "", "  ")
}

func (k Known) sectionSchema(fs []field) node {
	properties, required := node{}, []string{}
	for _, f := range fs {
		properties[f.key] = k.fieldSchema(f)
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

func (k Known) fieldSchema(f field) node {
	var n node
	switch f.shape() {
	case section:
		n = k.sectionSchema(fields(f.typ))
		n["type"] = []string{"object", "null"} // all its keys may be commented out
	case sections:
		n = node{"type": "array", "items": k.entrySchema(f)}
	case list:
		n = node{"type": "array", "items": f.scalarSchema()}
	case replies:
		n = repliesSchema()
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

func (k Known) entrySchema(f field) node {
	switch f.typ.Elem() {
	case clientType:
		n := k.sectionSchema(append(k.clientFields(), fields(reflect.TypeFor[MFA]())...))
		n["oneOf"] = []node{{"required": []string{"addresses", "secret"}}, {"required": []string{"addresses", "secret_file"}}, {"required": []string{"behind", "nas"}}}
		return n
	case providerType:
		return k.providerSchema(f)
	}
	return k.sectionSchema(fields(f.typ.Elem()))
}

func (k Known) providerSchema(f field) node {
	types := k.Primaries
	if f.key == "push" {
		types = k.Push
	}
	oneOf := []node{}
	for _, name := range names(types) {
		n := k.sectionSchema(append(fields(providerType), settingsFields(types[name])...))
		n["properties"].(node)["type"] = node{"const": name}
		oneOf = append(oneOf, n)
	}
	return node{"oneOf": oneOf}
}

// repliesSchema is the schema of attributes by their names.
func repliesSchema() node {
	value := node{"type": []string{"string", "number", "boolean"}}
	one := node{"type": "object", "additionalProperties": node{"oneOf": []node{value, {"type": "array", "items": value}}}}
	return node{"oneOf": []node{one, {"type": "array", "items": one}}}
}

// scalarSchema is the schema of a field's value, or of the elements of its list.
func (f field) scalarSchema() node {
	text := node{"type": "string"}
	switch {
	case f.typ == requireType:
		return node{"enum": []any{"yes", "no", "auto", true, false}}
	case f.enum() != nil:
		return node{"enum": f.enum()}
	case f.typ == durationType:
		text["pattern"] = durationForm
	case f.typ == sizeType:
		text["pattern"] = sizeForm
	case f.typ == secretsType:
		text["minLength"], text["maxLength"] = minSecret, maxSecret
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
