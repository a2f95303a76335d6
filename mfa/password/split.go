package password

import (
	"bytes"
	"regexp"
)

// usersPerPiece is how many users are parsed at once: enough that the parser's
// start costs nothing, few enough that its tree is small.
const usersPerPiece = 1000

// otherBreaks end a line in YAML too.
const otherBreaks = "\r\u0085\u2028\u2029"

// piece is a run of entries of the users list, a YAML list by itself.
type piece struct {
	line int // of the file, from 1
	text []byte
}

// unquotedScheme finds what YAML takes for a map.
var unquotedScheme = regexp.MustCompile(`(?m):[ ]+\{(NT|SSHA512)\}`)

// split cuts a file of the usual layout, `users:` and a block list, before
// every per-th entry; head is what stands before the first one. It returns false
// for anything that it is not sure of. An entry begins with "- " in the column
// of the first one, and whatever belongs to an entry is indented deeper: YAML has
// it so, except for quoted and flow values that a lenient parser lets stand
// anywhere; those leave a piece that does not parse, and then the file is parsed
// as a whole.
func split(data []byte, per int) (head []byte, pieces []piece, ok bool) {
	column, entries := -1, 0
	for line, at := 1, 0; at < len(data); line++ {
		end := at + bytes.IndexByte(data[at:], '\n') + 1
		if end == at {
			end = len(data)
		}
		text := bytes.TrimSuffix(bytes.TrimSuffix(data[at:end], []byte("\n")), []byte("\r"))
		if bytes.ContainsAny(text, otherBreaks) {
			return nil, nil, false
		}
		body := bytes.TrimLeft(text, " ")
		indent := len(text) - len(body)
		switch {
		case len(body) == 0 || body[0] == '#':
			// belongs to whatever stands around it
		case bytes.HasPrefix(body, []byte("- ")) && (column < 0 || indent == column):
			column = indent
			if entries%per == 0 {
				pieces = append(pieces, piece{line: line, text: data[at:at]})
			}
			entries++
		case column >= 0 && (indent <= column || body[0] == '\t'):
			return nil, nil, false
		}
		if len(pieces) > 0 {
			last := &pieces[len(pieces)-1]
			last.text = last.text[:len(last.text)+end-at]
		} else {
			head = data[:end]
		}
		at = end
	}
	return head, pieces, len(pieces) > 0
}
