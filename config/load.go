package config

import (
	"reflect"

	"github.com/radmatch/radmatch/config/load"
)

// Known is what the file may name and the program brings along.
type Known struct {
	// Primaries and Push have, for each type, the zero value of the struct that
	// its keys are read into. Its fields are tagged like those of Config.
	Primaries map[string]any
	Push      map[string]any
	// Profiles has, for each profile, the keys of a client that it sets, those of
	// mfa: among them, with values of the types that Client has.
	Profiles map[string]map[string]any
	// Field says what is wrong with an attribute's name in end_user or address_attribute;
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

// spec is what the file may have.
func (k Known) spec() load.Spec {
	return load.Spec{
		Title:    "radmatch.yaml",
		Root:     reflect.TypeFor[Config](),
		Variants: map[string]map[string]any{"primaries": k.Primaries, "push": k.Push},
		Enums:    map[string][]string{"clients.profile": load.Names(k.Profiles)},
	}
}

// Problem is one thing that is wrong with the file, or unwise.
type Problem = load.Problem

// Problems is everything that is wrong with a file, in the order of its lines.
type Problems = load.Problems

// Suggest is `; did you mean "…"` with the nearest of words, or nothing.
func Suggest(word string, words []string) string { return load.Suggest(word, words) }

// report is what is wrong with the file, and the files with secrets that it names.
type report struct {
	*load.Report
	noSecrets   bool // they are not read
	secretFiles []secretFile
}

func newReport(file string) *report { return &report{Report: load.NewReport(file)} }

// Load reads a file. If anything is wrong with it, the error is of type
// Problems and has everything, warnings too.
func Load(file string, known Known) (*Config, error) {
	r := newReport(file)
	data, err := load.ReadFile(file)
	if err != nil {
		r.Put(Problem{Rule: err.Error()})
		problems, _ := r.Sorted()
		return nil, problems
	}
	r.warnReadable(file, "", data)
	r.noSecrets = known.NoSecrets
	return read(r, file, data, known)
}

func read(r *report, file string, data []byte, known Known) (*Config, error) {
	c := &Config{File: file, lines: r.Lines()}
	spec := known.spec()
	spec.Scalar = r.odd
	if values := load.Read(r.Report, data, spec); values != nil {
		c.decode(r, values, known)
		c.finish(r, known)
	}
	problems, failed := r.Sorted()
	if failed {
		return nil, problems
	}
	c.Warnings = problems
	return c, nil
}

// decode lays what the file has over the defaults.
func (c *Config) decode(r *report, file map[string]any, known Known) {
	if _, ok := file["push"]; !ok {
		file["push"] = []any{map[string]any{"name": "phone", "type": "approver"}}
	}
	settings := load.Overlay(known.spec(), file)
	primaries, push, clients := load.Take(settings, "primaries"), load.Take(settings, "push"), load.Take(settings, "clients")
	load.Fill(c, settings)
	c.Primaries = c.providers(r, "primaries", primaries, known.Primaries)
	c.Push = c.providers(r, "push", push, known.Push)
	for i, m := range clients {
		c.Clients = append(c.Clients, newClient(r, i, m, c.MFA, known))
	}
}

func (c *Config) providers(r *report, list string, entries []map[string]any, types map[string]any) []Provider {
	var ps []Provider
	for i, m := range entries {
		key := load.Index(list, i)
		var p Provider
		load.Fill(&p, m)
		p.Where = load.Where(c.File, r.Line(key), key)
		if settings, ok := types[p.Type]; ok {
			p.Settings = load.Variant(settings, m)
		}
		ps = append(ps, p)
	}
	return ps
}
