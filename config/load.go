package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"reflect"

	"github.com/go-viper/mapstructure/v2"
	"github.com/spf13/viper"
	"go.yaml.in/yaml/v3"

	"github.com/radmatch/radmatch/mfa/textfile"
)

// maxFile is the most that is read of the file, in octets.
const maxFile = 10 << 20

// Known is what the file may name and the program brings along.
type Known struct {
	// Primaries and Push have, for each type, the zero value of the struct that
	// its keys are read into. Its fields are tagged like those of Config.
	Primaries map[string]any
	Push      map[string]any
	// Profiles has, for each profile, the keys of a client that it sets, those of
	// mfa: among them, with values of the types that Client has.
	Profiles map[string]map[string]any
	// Field says what is wrong with an attribute's name in end_user or address;
	// nil: every name will do.
	Field func(name string) error
	// NoPassword lists the profiles whose clients send no password. They need no
	// primary.
	NoPassword []string
	// LookupEnv is the environment; nil: there is none.
	LookupEnv func(string) (string, bool)
	// NoSecrets leaves the files with secrets of clients alone, for a command that
	// talks to no client: who runs it need not be allowed to read them.
	NoSecrets bool
}

// Load reads a file. If anything is wrong with it, the error is of type
// Problems and has everything, warnings too.
func Load(file string, known Known) (*Config, error) {
	r := newReport(file)
	data, err := readFile(file)
	if err != nil {
		r.put(Problem{Rule: err.Error()})
		return nil, r.all
	}
	r.warnReadable(file, "", data)
	r.noSecrets = known.NoSecrets
	return load(r, data, known)
}

// DataDir returns the data_dir of a file and reads nothing else in it: a command
// that needs only the database works beside a file that is broken elsewhere.
func DataDir(file string) (string, error) {
	r := newReport(file)
	data, err := readFile(file)
	if err != nil {
		r.put(Problem{Rule: err.Error()})
		return "", r.all
	}
	const key = "data_dir"
	all := fields(reflect.TypeFor[Config]())
	f := all[indexField(all, key)]
	c := &Config{File: file, DataDir: f.tag.Get("default")}
	if root := parseYAML(r, data); root != nil {
		t := &tree{report: r}
		for _, p := range t.pairs(root, "") {
			if p.key.Value != key {
				continue
			}
			t.lines[key] = p.key.Line
			if v, ok := t.field(p.value, f, key); ok {
				c.DataDir = v.(string)
			}
		}
	}
	if ps, failed := r.sorted(); failed {
		return "", ps
	}
	return c.Resolve(c.DataDir), nil
}

func load(r *report, data []byte, known Known) (*Config, error) {
	c := &Config{File: r.file, lines: r.lines}
	if root := parseYAML(r, data); root != nil {
		t := &tree{report: r, known: known}
		tree := t.section(root, fields(reflect.TypeFor[Config]()), "")
		if t.nodes > maxNodes {
			r.addAt(1, "", "the file unfolds to too much")
			return nil, r.all[len(r.all)-1:]
		}
		t.decode(tree, c)
		c.finish(r, known)
	}
	ps, failed := r.sorted()
	if failed {
		return nil, ps
	}
	c.Warnings = ps
	return c, nil
}

func readFile(file string) ([]byte, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, fmt.Errorf("must be readable: %w", errors.Unwrap(err))
	}
	defer f.Close()
	data, err := textfile.ReadFrom(f, 0, maxFile)
	var failed *fs.PathError
	if errors.As(err, &failed) {
		err = fmt.Errorf("must be readable: %w", failed.Err)
	}
	return data, err
}

// parseYAML returns the mapping at the root, or nil if there is none.
func parseYAML(r *report, data []byte) *yaml.Node {
	dec := yaml.NewDecoder(bytes.NewReader(data))
	var doc yaml.Node
	err := dec.Decode(&doc)
	switch {
	case errors.Is(err, io.EOF):
		r.addAt(1, "", "must not be empty")
		return nil
	case err != nil:
		r.syntax(err, data)
		return nil
	}
	root := doc.Content[0]
	if root.Kind != yaml.MappingNode {
		r.addAt(root.Line, "", "must be a mapping of keys, such as \"listen:\"")
		return nil
	}
	var next yaml.Node
	if err := dec.Decode(&next); err == nil {
		r.addAt(next.Line, "", "must be one document; remove what follows ---")
	} else if !errors.Is(err, io.EOF) {
		r.syntax(err, data)
	}
	return root
}

// syntax reports an error of the YAML parser.
func (r *report) syntax(err error, data []byte) {
	line, rule := textfile.YAMLError(err, data)
	r.addAt(line, "", "%s", rule)
}

// decode lays what the file has over the defaults and fills c. The values have
// their types already, so that an error here is a bug.
func (t *tree) decode(file map[string]any, c *Config) {
	if _, ok := file["push"]; !ok {
		file["push"] = []any{map[string]any{"name": "phone", "type": "approver"}}
	}
	v := viper.New()
	for key, value := range defaults(reflect.TypeFor[Config]()) {
		v.SetDefault(key, value)
	}
	if err := v.MergeConfigMap(file); err != nil {
		panic("config: internal error: " + err.Error())
	}
	settings := v.AllSettings()
	primaries, push, clients := take(settings, "primaries"), take(settings, "push"), take(settings, "clients")
	fill(c, settings)
	c.Primaries = t.providers("primaries", primaries, t.known.Primaries)
	c.Push = t.providers("push", push, t.known.Push)
	for i, m := range clients {
		c.Clients = append(c.Clients, t.client(i, m, c.MFA))
	}
}

// take removes a list of sections from settings.
func take(settings map[string]any, key string) []map[string]any {
	var ms []map[string]any
	items, _ := settings[key].([]any)
	for _, item := range items {
		ms = append(ms, item.(map[string]any))
	}
	delete(settings, key)
	return ms
}

func (t *tree) providers(list string, entries []map[string]any, types map[string]any) []Provider {
	var ps []Provider
	for i, m := range entries {
		key := index(list, i)
		var p Provider
		fill(&p, m)
		p.Where = where(t.file, t.line(key), key)
		if settings, ok := types[p.Type]; ok {
			p.Settings = reflect.New(reflect.TypeOf(settings)).Interface()
			fill(p.Settings, defaults(reflect.TypeOf(settings)))
			fill(p.Settings, m)
		}
		ps = append(ps, p)
	}
	return ps
}

// fill decodes m into the struct that to points to. Fields whose key is not in
// m keep their value; a list replaces the whole list.
func fill(to any, m map[string]any) {
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
		panic("config: internal error: " + err.Error())
	}
}
