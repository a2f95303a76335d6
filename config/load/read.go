package load

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"reflect"
	"slices"

	"github.com/go-viper/mapstructure/v2"
	"github.com/spf13/viper"
	"go.yaml.in/yaml/v3"

	"github.com/radmatch/radmatch/mfa/textfile"
)

// MaxFile is the most that is read of a file, in octets.
const MaxFile = 10 << 20

// ReadFile reads a file. Its error is a rule ("must be readable: …") without the
// name of the file.
func ReadFile(file string) ([]byte, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, fmt.Errorf("must be readable: %w", errors.Unwrap(err))
	}
	defer f.Close()
	data, err := textfile.ReadFrom(f, 0, MaxFile)
	if failed, ok := errors.AsType[*fs.PathError](err); ok {
		err = fmt.Errorf("must be readable: %w", failed.Err)
	}
	return data, err
}

// Read returns what fits of a file, as maps and lists with values of the types that
// the structs have; a value that does not fit is in the report. It returns nil if nothing
// can be made of the file at all.
func Read(r *Report, data []byte, spec Spec) map[string]any {
	root := parseYAML(r, data)
	if root == nil {
		return nil
	}
	t := &tree{Report: r, spec: spec}
	m := t.section(root, fields(spec.Root), "")
	if t.nodes > maxNodes {
		r.addAt(1, "", "the file unfolds to too much")
		r.all = r.all[len(r.all)-1:]
		return nil
	}
	return m
}

// ReadKeys returns the values of some keys at the root over their defaults, as Overlay does,
// and looks at nothing else in the file. An error in one is in the report.
func ReadKeys(r *Report, data []byte, root reflect.Type, names []string) map[string]any {
	found := map[string]any{}
	all := fields(root)
	if node := parseYAML(r, data); node != nil {
		t := &tree{Report: r}
		for _, p := range t.pairs(node, "") {
			key := p.key.Value
			if !slices.Contains(names, key) {
				continue
			}
			t.lines[key] = p.key.Line
			if v, ok := t.field(p.value, all[indexField(all, key)], key); ok {
				found[key] = v
			}
		}
	}
	values := Overlay(Spec{Root: root}, found)
	maps.DeleteFunc(values, func(key string, _ any) bool { return !slices.Contains(names, key) })
	return values
}

// parseYAML returns the mapping at the root, or nil if there is none.
func parseYAML(r *Report, data []byte) *yaml.Node {
	root, err := textfile.YAML(data)
	if root != nil && root.Kind != yaml.MappingNode {
		r.addAt(root.Line, "", "must be a mapping of keys, such as \"listen:\"")
		return nil
	}
	if fault, ok := errors.AsType[*textfile.Fault](err); ok {
		switch fault.Err {
		case textfile.ErrEmpty:
			r.addAt(fault.Line, "", "must not be empty")
		case textfile.ErrDocuments:
			r.addAt(fault.Line, "", "must be one document; remove what follows ---")
		default:
			r.addAt(fault.Line, "", "%s", fault.Err)
		}
	}
	return root
}

// Overlay lays what Read returned over the defaults of the file. Values in lists of
// sections stay without their defaults.
func Overlay(spec Spec, file map[string]any) map[string]any {
	v := viper.New()
	for key, value := range Defaults(spec.Root) {
		v.SetDefault(key, value)
	}
	if err := v.MergeConfigMap(file); err != nil {
		panic("load: internal error: " + err.Error())
	}
	return v.AllSettings()
}

// Take removes a list of sections from what Read or Overlay returned.
func Take(settings map[string]any, key string) []map[string]any {
	var ms []map[string]any
	items, _ := settings[key].([]any)
	for _, item := range items {
		ms = append(ms, item.(map[string]any))
	}
	delete(settings, key)
	return ms
}

// Fill decodes m into the struct that to points to. Fields whose key is not in
// m keep their value; a list replaces the whole list. The values have their types
// already, so that an error here is a bug.
func Fill(to any, m map[string]any) {
	dec, err := mapstructure.NewDecoder(&mapstructure.DecoderConfig{
		Result:          to,
		TagName:         "yaml",
		SquashTagOption: "inline",
		ZeroFields:      true,
	})
	if err == nil {
		err = dec.Decode(m)
	}
	if err != nil {
		panic("load: internal error: " + err.Error())
	}
}

// Variant returns a pointer to a struct of the type of zero, with its defaults and
// with m over them.
func Variant(zero any, m map[string]any) any {
	p := reflect.New(reflect.TypeOf(zero)).Interface()
	Fill(p, Defaults(reflect.TypeOf(zero)))
	Fill(p, m)
	return p
}

// Where names a key of a file to readers: FILE:LINE: key.
func Where(file string, line int, key string) string {
	return fmt.Sprintf("%s:%d: %s", file, line, key)
}
