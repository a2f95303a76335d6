package password

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"

	"github.com/radmatch/radmatch/mfa"
	"github.com/radmatch/radmatch/mfa/text"
	"github.com/radmatch/radmatch/mfa/textfile"
)

// Bounds on a users file.
const (
	maxFile     = 256 << 20 // octets
	maxProblems = 100       // printed; the rest is counted
	maxQuoted   = 60        // octets of a value in a problem
)

// Bounds on what a primary tells of a user.
const (
	MaxName   = 253 // octets, what a User-Name holds
	MaxGroups = 1000
	MaxReply  = 200 // attributes
)

// Encode turns an attribute's name and value, as the file spells them, into
// what goes over the wire. It is handed in because only the radius package
// knows the dictionaries.
type Encode func(name, value string) (mfa.Attribute, error)

// OpenFile reads the users file at path, all of it. Every problem is in the
// error, each on a line of its own as `FILE:LINE: path: rule`; no hash is.
// The load needs some memory for a moment: debug.FreeOSMemory afterwards is the
// caller's. The gate is shared by every File of the process.
func OpenFile(path string, encode Encode, gate *Gate) (*File, error) {
	data, err := textfile.Read(path, maxFile)
	if err != nil {
		return nil, fmt.Errorf("users file: %w", err)
	}
	l := newLoader(path, encode, gate)
	l.load(data)
	if err := l.problems(); err != nil {
		return nil, err
	}
	return l.file, nil
}

// loader is one load of one file.
type loader struct {
	path    string
	before  int // lines of the file before the piece at hand
	encode  Encode
	file    *File
	groups  map[string][]mfa.Group
	replies map[string][]mfa.Attribute
	found   []error
	more    int
}

func newLoader(path string, encode Encode, gate *Gate) *loader {
	return &loader{path: path, encode: encode, groups: map[string][]mfa.Group{}, replies: map[string][]mfa.Attribute{},
		file: newFile(gate)}
}

// problem notes what is wrong at n.
func (l *loader) problem(n *yaml.Node, path, format string, args ...any) {
	if len(l.found) == maxProblems {
		l.more++
		return
	}
	if path != "" {
		path += ": "
	}
	l.found = append(l.found, fmt.Errorf("%s:%d: %s%s", l.path, l.line(n), path, fmt.Sprintf(format, args...)))
}

func (l *loader) line(n *yaml.Node) int { return l.before + n.Line }

func (l *loader) problems() error {
	if l.more > 0 {
		l.found = append(l.found, fmt.Errorf("%s: and %d more", l.path, l.more))
	}
	return errors.Join(l.found...)
}

// load reads the usual layout piece by piece, because the tree of a whole file
// of 100,000 users takes 300 MiB. A file that does not look like it, or does not
// parse so, is parsed as a whole.
func (l *loader) load(data []byte) {
	if !l.loadPieces(data, usersPerPiece) {
		l.loadWhole(data)
	}
}

// loadPieces returns false if the file must be parsed as a whole.
func (l *loader) loadPieces(data []byte, per int) bool {
	head, pieces, ok := split(data, per)
	if !ok || !isUsersKey(head) {
		return false
	}
	for i, p := range pieces {
		var doc yaml.Node
		if yaml.Unmarshal(p.text, &doc) != nil || doc.Kind != yaml.DocumentNode || doc.Content[0].Kind != yaml.SequenceNode {
			return false
		}
		l.before = p.line - 1
		for j, n := range doc.Content[0].Content {
			l.user(i*per+j, n)
		}
	}
	return true
}

// isUsersKey reports whether head is `users:` without a value, and comments.
func isUsersKey(head []byte) bool {
	var doc yaml.Node
	if yaml.Unmarshal(head, &doc) != nil || doc.Kind != yaml.DocumentNode {
		return false
	}
	m := doc.Content[0]
	if m.Kind != yaml.MappingNode || m.Style&yaml.FlowStyle != 0 || len(m.Content) != 2 {
		return false
	}
	key, value := m.Content[0], m.Content[1]
	return key.Value == "users" && key.Column == 1 && value.Tag == "!!null" && value.Value == ""
}

func (l *loader) loadWhole(data []byte) {
	l.file = newFile(l.file.gate)
	l.before, l.found, l.more = 0, nil, 0
	root, err := textfile.YAML(data)
	if fault, ok := errors.AsType[*textfile.Fault](err); ok {
		l.fault(data, fault)
		return
	}
	l.eachKey(root, "", func(key, value *yaml.Node) {
		if key.Value != "users" {
			l.problem(key, key.Value, "unknown key; the only one is users")
			return
		}
		for i, n := range l.list(value, "users") {
			l.user(i, n)
		}
	})
}

// fault reports why the file is not YAML. It repeats nothing of the file.
func (l *loader) fault(data []byte, f *textfile.Fault) {
	at, rule := &yaml.Node{Line: f.Line}, f.Err.Error()
	switch f.Err {
	case textfile.ErrEmpty:
		rule = "must hold `users:`"
	case textfile.ErrDocuments:
	default:
		rule = "not YAML: " + rule
		if i := unquotedScheme.FindIndex(data); i != nil { // {NT} by itself is a YAML map, and the parser points elsewhere
			at.Line = 1 + bytes.Count(data[:i[0]], []byte("\n"))
			rule = "not YAML: a hash that begins with { must stand in quotes"
		}
	}
	l.problem(at, "", "%s", rule)
}

// user reads one entry.
func (l *loader) user(i int, n *yaml.Node) {
	path := fmt.Sprintf("users[%d]", i)
	u := &fileUser{}
	var name *yaml.Node
	hasPassword := false
	l.eachKey(n, path, func(key, value *yaml.Node) {
		at := path + "." + key.Value
		switch key.Value {
		case "name":
			name, u.name = value, mfa.NameOf(l.text(value, at))
		case "password":
			hasPassword = true
			u.hash = l.hash(value, at)
		case "groups":
			u.groups = l.userGroups(value, at)
		case "reply":
			u.reply = l.reply(value, at)
		case "disabled":
			if to := textfile.Resolve(value); to.Tag != "!!bool" || to.Decode(&u.disabled) != nil {
				l.problem(value, at, "must be true or false; got %q", text.Short(to.Value, maxQuoted))
			}
		default:
			l.problem(key, at, "unknown key; one of name, password, groups, reply, disabled")
		}
	})
	if textfile.Resolve(n).Kind != yaml.MappingNode {
		return
	}
	if name == nil {
		l.problem(n, path+".name", "is missing")
	}
	if !hasPassword {
		l.problem(n, path+".password", "is missing")
	}
	l.add(u, path, name)
}

func (l *loader) add(u *fileUser, path string, n *yaml.Node) {
	if u.name.IsZero() {
		return
	}
	if rule := nameRule(u.name.Sent()); rule != "" {
		l.problem(n, path+".name", "%s; got %q", rule, text.Short(u.name.Sent(), maxQuoted))
		return
	}
	key := u.name.Key()
	if first := l.file.users[key]; first != nil {
		l.problem(n, path+".name", "must be unique, whatever its case: the same user is on line %d; got %q", first.line, u.name)
		return
	}
	u.name, u.line = u.name.Printable(), l.line(n)
	l.file.users[key] = u
	l.file.all = append(l.file.all, u)
}

// nameRule says what is wrong with a user name, empty if nothing is.
func nameRule(name string) string {
	switch {
	case len(name) > MaxName:
		return fmt.Sprintf("must have at most %d octets", MaxName)
	case !utf8.ValidString(name), strings.ContainsFunc(name, unicode.IsControl):
		return "must be text without control characters"
	case strings.TrimSpace(name) != name:
		return "must not begin or end with a space"
	}
	return ""
}

func (l *loader) hash(n *yaml.Node, path string) hash {
	s := l.text(n, path)
	if s == "" {
		return nil
	}
	h, err := parseHash(s)
	if err != nil {
		l.problem(n, path, "%v", err)
	}
	return h
}

// userGroups and reply share equal lists between users: most have the same.
func (l *loader) userGroups(n *yaml.Node, path string) []mfa.Group {
	list := l.list(n, path)
	if len(list) > MaxGroups {
		l.problem(n, path, "must have at most %d entries; got %d", MaxGroups, len(list))
		return nil
	}
	groups := make([]string, 0, len(list))
	for i, g := range list {
		if s := l.text(g, fmt.Sprintf("%s[%d]", path, i)); s != "" {
			groups = append(groups, s)
		}
	}
	key := strings.Join(groups, "\x00")
	if _, ok := l.groups[key]; !ok {
		l.groups[key] = mfa.GroupsOf(groups...)
	}
	return l.groups[key]
}

// reply reads a map of attributes, or a list of such maps where order or
// repetition matters.
func (l *loader) reply(n *yaml.Node, path string) []mfa.Attribute {
	maps := []*yaml.Node{n}
	if textfile.Resolve(n).Kind == yaml.SequenceNode {
		maps = textfile.Resolve(n).Content
	}
	var key strings.Builder
	var attrs []mfa.Attribute
	for i, m := range maps {
		at := path
		if m != n {
			at = fmt.Sprintf("%s[%d]", path, i)
		}
		l.eachKey(m, at, func(name, value *yaml.Node) {
			at := at + "." + name.Value
			s := l.text(value, at)
			if s == "" {
				return
			}
			a, err := l.encode(name.Value, s)
			if err != nil {
				l.problem(value, at, "%v; got %q", err, text.Short(s, maxQuoted))
				return
			}
			fmt.Fprintf(&key, "%d %d %d %d %s", a.Vendor, a.Type, a.Tag, len(a.Value), a.Value)
			attrs = append(attrs, a)
		})
	}
	if len(attrs) > MaxReply {
		l.problem(n, path, "must have at most %d attributes; got %d", MaxReply, len(attrs))
		return nil
	}
	if _, ok := l.replies[key.String()]; !ok {
		l.replies[key.String()] = attrs
	}
	return l.replies[key.String()]
}

// eachKey calls f for each key of a map. A key that stands twice is a problem.
func (l *loader) eachKey(n *yaml.Node, path string, f func(key, value *yaml.Node)) {
	to := textfile.Resolve(n)
	if to.Kind != yaml.MappingNode {
		l.problem(n, path, "must be a map of keys to values")
		return
	}
	for i := 0; i+1 < len(to.Content); i += 2 {
		key := to.Content[i]
		if seen(to.Content[:i], key.Value) {
			l.problem(key, strings.TrimPrefix(path+"."+key.Value, "."), "must not stand twice")
			continue
		}
		f(key, to.Content[i+1])
	}
}

// seen looks through the keys before: a user has five, so no set is needed.
func seen(before []*yaml.Node, key string) bool {
	for i := 0; i < len(before); i += 2 {
		if before[i].Value == key {
			return true
		}
	}
	return false
}

func (l *loader) list(n *yaml.Node, path string) []*yaml.Node {
	to := textfile.Resolve(n)
	if to.Kind == yaml.SequenceNode {
		return to.Content
	}
	if to.Tag != "!!null" {
		l.problem(n, path, "must be a list")
	}
	return nil
}

// text is a scalar as written: 0123 stays 0123. Empty is a problem.
func (l *loader) text(n *yaml.Node, path string) string {
	to := textfile.Resolve(n)
	if to.Kind == yaml.ScalarNode && to.Tag != "!!null" && to.Value != "" {
		return to.Value
	}
	l.problem(n, path, "must be a text that is not empty")
	return ""
}
