package config

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/radmatch/radmatch/config/load"
)

const describedSecret = "IGXUOZQ4SR2ZSZOHSTM3SPVRZA"

// TestDescribeLoads: the annotated file loads, and means the same as one with
// nothing but what must be there.
func TestDescribeLoads(t *testing.T) {
	described, err := loadText(t, Describe(testKnown(), describedSecret, true), testKnown())
	if err != nil {
		t.Fatal(err)
	}
	least, err := loadText(t, `primaries: [{name: file, type: file, path: users.yaml}]
push: [{name: approver, type: approver}]
clients: [{name: vpn, addresses: [203.0.113.0/24], secret: `+describedSecret+`}]
`, testKnown())
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []*Config{described, least} {
		c.lines, c.Warnings, c.DataDir, c.File = nil, nil, filepath.Base(c.DataDir), ""
		for i := range c.Primaries {
			c.Primaries[i].Where = ""
		}
		c.Push[0].Where = ""
	}
	if !reflect.DeepEqual(described, least) {
		t.Errorf("got\n%+v\nwant\n%+v", described, least)
	}
}

// TestDescribeFirst: without all there are the thirty or so keys that a first reader
// needs. It loads, with each of them uncommented too, and each line is one of the
// long form.
func TestDescribeFirst(t *testing.T) {
	short, long := Describe(testKnown(), describedSecret, false), Describe(testKnown(), describedSecret, true)
	uncommented := regexp.MustCompile(`(?m)^( *)#([a-z_]+: )`).ReplaceAllString(short, "$1$2")
	uncommented = regexp.MustCompile(`(?m)^ *(secret_file|cert_file|key_file): .*\n`).ReplaceAllString(uncommented, "")
	for _, text := range []string{short, uncommented} {
		if _, err := loadText(t, text, testKnown()); err != nil {
			t.Errorf("%v\n%s; want no error", err, text)
		}
	}
	if !strings.Contains(short, "describe --all") {
		t.Errorf("got no word of --all in\n%s", short)
	}
	keys := regexp.MustCompile(`(?m)^[ #]*(- )?[a-z_]+: .`)
	few, all := len(keys.FindAllString(short, -1)), len(keys.FindAllString(long, -1))
	if few < 20 || few > 40 || all < 100 {
		t.Errorf("got %d keys of %d, want about 30\n%s", few, all, short)
	}
	_, body, _ := strings.Cut(short, "\n\n") // behind the head
	for line := range strings.Lines(body) {
		if !strings.Contains(long, line) {
			t.Errorf("the long form has no line %q", line)
		}
	}
}

// TestDescribeIsTrue: with every key uncommented, the file still loads, so that
// what it shows is right. Of secret and secret_file one must go, of addresses and
// behind, and of acme and cert_file with key_file.
func TestDescribeIsTrue(t *testing.T) {
	text := regexp.MustCompile(`(?m)^( *)#([a-z_]+: )`).ReplaceAllString(Describe(testKnown(), describedSecret, true), "$1$2")
	text = regexp.MustCompile(`(?m)^ *(secret_file|cert_file|key_file|behind|nas): .*\n`).ReplaceAllString(text, "")
	text = strings.Replace(text, "type: sqlite", "type: postgres", 1)
	if _, err := loadText(t, text, testKnown()); err != nil {
		t.Errorf("%v\n%s; want no error", err, text)
	}
}

// TestEveryFieldIsDocumented also reads every tag, so that a bad default fails here.
func TestEveryFieldIsDocumented(t *testing.T) {
	for _, fault := range load.Faults(testKnown().spec()) {
		t.Error(fault)
	}
}

func TestSchema(t *testing.T) {
	text, err := Schema(testKnown())
	if err != nil {
		t.Fatal(err)
	}
	var schema map[string]any
	if err := json.Unmarshal(text, &schema); err != nil {
		t.Fatal(err)
	}
	for _, file := range glob(t, "ok/*.yaml") {
		if err := satisfies(schema, readJSON(t, file), "$"); err != nil {
			t.Errorf("%s: got error %v; want none", file, err)
		}
	}
	for _, name := range []string{"unknown", "kinds", "ranges", "later", "tenmistakes", "nobody", "primaries", "secrets"} {
		if err := satisfies(schema, readJSON(t, "../testdata/config/bad/"+name+".yaml"), "$"); err == nil {
			t.Errorf("%s: satisfies the schema; want an error", name)
		}
	}
	described := filepath.Join(t.TempDir(), "described.yaml")
	if err := os.WriteFile(described, []byte(Describe(testKnown(), describedSecret, true)), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := satisfies(schema, readJSON(t, described), "$"); err != nil {
		t.Errorf("described: got error %v; want none", err)
	}
}

// readJSON reads a YAML file into what encoding/json would make of it.
func readJSON(t *testing.T, file string) any {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var v any
	if err := yaml.Unmarshal(data, &v); err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	v = nil
	if err := json.Unmarshal(text, &v); err != nil {
		t.Fatal(err)
	}
	return v
}

// satisfies validates v by the part of JSON Schema that Schema uses; a keyword
// that it does not know is an error.
func satisfies(schema map[string]any, v any, at string) error {
	for keyword, want := range schema {
		if err := keywordHolds(schema, keyword, want, v, at); err != nil {
			return err
		}
	}
	return nil
}

func keywordHolds(schema map[string]any, keyword string, want, v any, at string) error {
	bad := fmt.Errorf("%s: %s %v: %v", at, keyword, want, v)
	text, isText := v.(string)
	number, isNumber := v.(float64)
	items, isArray := v.([]any)
	object, isObject := v.(map[string]any)
	holds := true
	switch keyword {
	case "$schema", "title", "description", "default":
	case "type":
		names, ok := want.([]any)
		if !ok {
			names = []any{want}
		}
		holds = slices.ContainsFunc(names, func(n any) bool {
			_, isBool := v.(bool)
			return n == "string" && isText || n == "array" && isArray || n == "object" && isObject || n == "null" && v == nil ||
				n == "boolean" && isBool || n == "number" && isNumber || n == "integer" && isNumber && number == float64(int64(number))
		})
	case "const":
		holds = v == want
	case "enum":
		holds = slices.ContainsFunc(want.([]any), func(w any) bool { return w == v })
	case "minimum":
		holds = !isNumber || number >= want.(float64)
	case "maximum":
		holds = !isNumber || number <= want.(float64)
	case "minLength":
		holds = !isText || float64(len(text)) >= want.(float64)
	case "maxLength":
		holds = !isText || float64(len(text)) <= want.(float64)
	case "pattern":
		holds = !isText || regexp.MustCompile(want.(string)).MatchString(text)
	case "minItems":
		holds = !isArray || float64(len(items)) >= want.(float64)
	case "maxItems":
		holds = !isArray || float64(len(items)) <= want.(float64)
	case "items":
		for i, item := range items {
			if err := satisfies(want.(map[string]any), item, fmt.Sprintf("%s[%d]", at, i)); err != nil {
				return err
			}
		}
	case "required":
		for _, key := range want.([]any) {
			if _, ok := object[key.(string)]; isObject && !ok {
				return bad
			}
		}
	case "properties":
		for key, value := range object {
			if p, ok := want.(map[string]any)[key]; ok {
				if err := satisfies(p.(map[string]any), value, at+"."+key); err != nil {
					return err
				}
			}
		}
	case "additionalProperties":
		properties, _ := schema["properties"].(map[string]any)
		for key, value := range object {
			if _, ok := properties[key]; ok {
				continue
			}
			further, ok := want.(map[string]any)
			if !ok {
				return fmt.Errorf("%s.%s: unknown", at, key)
			}
			if err := satisfies(further, value, at+"."+key); err != nil {
				return err
			}
		}
	case "oneOf":
		n := 0
		for _, s := range want.([]any) {
			if satisfies(s.(map[string]any), v, at) == nil {
				n++
			}
		}
		holds = n == 1
	default:
		return fmt.Errorf("the test does not know %q", keyword)
	}
	if !holds {
		return bad
	}
	return nil
}
