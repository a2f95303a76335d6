// Package webtest has what tests of the pages and of their door share.
package webtest

import (
	"encoding/binary"
	"fmt"
	"net/netip"
)

// GeoIP writes a database in the format of MaxMind (version 2.0) for IPv4: each
// prefix with city and country.
func GeoIP(places map[string][2]string) []byte {
	type node [2]int // 0: nothing there; > 0: a node; < 0: data at -n-1
	tree := []node{{}}
	var data []byte
	for text, names := range places {
		p := netip.MustParsePrefix(text)
		at, ip := 0, binary.BigEndian.Uint32(p.Addr().AsSlice())
		for i := range p.Bits() {
			bit := ip >> (31 - i) & 1
			switch {
			case i == p.Bits()-1:
				tree[at][bit] = -len(data) - 1
			case tree[at][bit] == 0:
				tree = append(tree, node{})
				tree[at][bit] = len(tree) - 1
			}
			at = tree[at][bit]
		}
		record := map[string]any{"country": map[string]any{"names": map[string]any{"en": names[1]}}}
		if names[0] != "" {
			record["city"] = map[string]any{"names": map[string]any{"en": names[0], "de": "anders"}}
		}
		data = append(data, mmdb(record)...)
	}
	var out []byte
	for _, n := range tree {
		for _, to := range n {
			switch {
			case to == 0:
				to = len(tree)
			case to < 0:
				to = len(tree) + 16 + -to - 1
			}
			out = append(out, byte(to>>16), byte(to>>8), byte(to))
		}
	}
	out = append(append(out, make([]byte, 16)...), data...)
	out = append(out, "\xab\xcd\xefMaxMind.com"...)
	return append(out, mmdb(map[string]any{
		"node_count": uint32(len(tree)), "record_size": uint16(24), "ip_version": uint16(4), "database_type": "Test-City",
		"languages": []any{"en"}, "binary_format_major_version": uint16(2), "binary_format_minor_version": uint16(0),
		"build_epoch": uint64(1795348800), "description": map[string]any{"en": "test"},
	})...)
}

// mmdb encodes a value of the data section.
func mmdb(v any) []byte {
	head := func(kind, size int) []byte {
		if kind > 7 {
			return []byte{byte(size), byte(kind - 7)}
		}
		if size >= 29 { // and below 285
			return []byte{byte(kind<<5 | 29), byte(size - 29)}
		}
		return []byte{byte(kind<<5 | size)}
	}
	switch v := v.(type) {
	case string:
		return append(head(2, len(v)), v...)
	case uint16:
		return binary.BigEndian.AppendUint16(head(5, 2), v)
	case uint32:
		return binary.BigEndian.AppendUint32(head(6, 4), v)
	case uint64:
		return binary.BigEndian.AppendUint64(head(9, 8), v)
	case []any:
		out := head(11, len(v))
		for _, e := range v {
			out = append(out, mmdb(e)...)
		}
		return out
	case map[string]any:
		out := head(7, len(v))
		for key, e := range v {
			out = append(append(out, mmdb(key)...), mmdb(e)...)
		}
		return out
	}
	panic(fmt.Sprintf("%T", v))
}
