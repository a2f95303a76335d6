package radius

import (
	_ "embed"
	"fmt"
	"strconv"
	"strings"
	"sync"
)

//go:embed dictionary.txt
var dictionaryText string

// definition is what the dictionary says of one attribute.
type definition struct {
	name    string
	vendor  uint32
	typ     byte
	format  string // string octets integer ipaddr ipv6addr ipv6prefix ifid date
	tag     bool   // may carry a tag, RFC 2868
	salt    bool   // encrypted for the NAS, RFC 2868 §3.5
	own     bool   // set by the server alone
	request bool   // never in an answer
	values  []namedValue
}

type namedValue struct {
	name   string
	number uint32
}

func (d *definition) number(name string) (uint32, bool) {
	for _, v := range d.values {
		if strings.EqualFold(v.name, name) {
			return v.number, true
		}
	}
	return 0, false
}

type definitions struct {
	names   map[string]*definition // lower-case
	types   map[AttributeType]*definition
	vendors []string
}

// dictionary reads the embedded text at the first use. A fault in it is a bug of
// the build.
var dictionary = sync.OnceValue(func() *definitions {
	d := &definitions{names: make(map[string]*definition), types: make(map[AttributeType]*definition)}
	var vendor uint64
	var last *definition
	for line := range strings.Lines(dictionaryText) {
		f := strings.Fields(line)
		if len(f) == 0 || f[0] == "#" {
			continue
		}
		n := 1
		if f[0] == "=" || f[0] == "vendor" {
			n = 2
		}
		number, err := strconv.ParseUint(f[n], 10, 32)
		if err != nil {
			panic(fmt.Sprintf("radius: internal error: dictionary line %q", line))
		}
		switch f[0] {
		case "vendor":
			if vendor = number; vendor != 0 {
				d.vendors = append(d.vendors, f[1])
			}
		case "=":
			last.values = append(last.values, namedValue{f[1], uint32(number)})
		default:
			last = &definition{name: f[0], vendor: uint32(vendor), typ: byte(number), format: f[2]}
			last.flags(f[3:])
			d.names[strings.ToLower(f[0])] = last
			d.types[AttributeType{uint32(vendor), byte(number)}] = last
		}
	}
	return d
})

func (d *definition) flags(flags []string) {
	for _, f := range flags {
		switch f {
		case "tag":
			d.tag = true
		case "salt":
			d.salt = true
		case "own":
			d.own = true
		case "request":
			d.request = true
		default:
			panic(fmt.Sprintf("radius: internal error: dictionary flag %q", f))
		}
	}
}
