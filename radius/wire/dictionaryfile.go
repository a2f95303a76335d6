package wire

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/radmatch/radmatch/mfa/text"
)

// Bounds on dictionaries: anyone who writes them is trusted, but may name the wrong
// folder.
const (
	maxDictionaryFile  = 4 << 20 // octets
	maxDictionaryFiles = 1000
	maxDictionaryNames = 100_000 // attributes, and values
	maxProblems        = 100     // printed; the rest is counted
)

// formats are the types of attributes that an answer can carry, with the other
// names that they have.
var formats = map[string]string{
	"string": "string", "octets": "octets", "ipaddr": "ipaddr", "ipv4prefix": "ipv4prefix",
	"ipv6addr": "ipv6addr", "ipv6prefix": "ipv6prefix", "combo-ip": "combo-ip", "ifid": "ifid", "ether": "ether",
	"date": "date", "byte": "byte", "short": "short", "integer": "integer", "signed": "signed", "integer64": "integer64",
	"uint8": "byte", "uint16": "short", "uint32": "integer", "int32": "signed", "uint64": "integer64",
}

// rootDictionary is the file that includes the others in FreeRADIUS's folder. Not
// all files there fit together, so where it is, only it says which are read.
const rootDictionary = "dictionary"

// nested are the types that hold other attributes, or have a form of their own.
var nested = []string{"tlv", "struct", "vsa", "evs", "extended", "long-extended", "abinary", "group", "union"}

var (
	attributeName = regexp.MustCompile(`^[A-Za-z0-9][-A-Za-z0-9_/.+]{0,127}$`)
	octetsLength  = regexp.MustCompile(`^octets\[([0-9]{1,3})\]$`)
)

// dictionaryReader reads dictionaries into a Dictionary.
type dictionaryReader struct {
	*Dictionary
	files  fs.FS
	folder string // as problems name it
	seen   map[string]bool
	own    map[*Definition]bool // made here: the others belong to another Dictionary too
	values []valueLine
	others []otherName
	found  []error
	more   int
}

// dictionaryFile is one file that is being read.
type dictionaryFile struct {
	*dictionaryReader
	name   string
	line   int
	vendor *vendor
	named  string // the last VENDOR of this file
	tlvs   int    // BEGIN-TLV that are open
	within string // why what stands here cannot be sent
}

// valueLine waits until all attributes are known: a VALUE may stand before its
// attribute.
type valueLine struct {
	at        *dictionaryFile
	line      int
	attribute string
	name      string
	number    uint64
}

// read adds the dictionaries in files, which problems call folder.
func (d *Dictionary) read(files fs.FS, folder string) error {
	r := &dictionaryReader{Dictionary: d, files: files, folder: folder, seen: make(map[string]bool), own: make(map[*Definition]bool)}
	entries, err := fs.ReadDir(files, ".")
	if err != nil {
		return fmt.Errorf("dictionaries: %w", err)
	}
	names := []string{rootDictionary}
	if !slices.ContainsFunc(entries, func(e fs.DirEntry) bool { return e.Name() == rootDictionary }) {
		names = nil
		for _, e := range entries {
			if n := e.Name(); strings.HasPrefix(n, "dictionary.") || strings.HasSuffix(n, ".dictionary") {
				names = append(names, n)
			}
		}
	}
	for _, name := range names {
		if err := r.file(name); err != nil {
			r.found = append(r.found, fmt.Errorf("%s: %w", path.Join(folder, name), err))
		}
	}
	r.checkOthers()
	for _, v := range r.values {
		v.at.line = v.line
		v.at.addValue(v)
	}
	if r.more > 0 {
		r.found = append(r.found, fmt.Errorf("%s: and %d more", folder, r.more))
	}
	return errors.Join(r.found...)
}

// file reads one file, each at most once: so $INCLUDE cannot go in circles.
func (r *dictionaryReader) file(name string) error {
	if r.seen[name] {
		return nil
	}
	if r.seen[name] = true; len(r.seen) > maxDictionaryFiles {
		return fmt.Errorf("must be one of at most %d files", maxDictionaryFiles)
	}
	text, err := readBounded(r.files, name)
	if err != nil {
		return err
	}
	f := &dictionaryFile{dictionaryReader: r, name: name}
	for line := range strings.Lines(text) {
		f.line++
		line, _, _ = strings.Cut(line, "#")
		if words := strings.Fields(line); len(words) > 0 {
			f.statement(words)
		}
	}
	if f.vendor != nil || f.tlvs > 0 {
		f.problem("must end what it began: END-VENDOR or END-TLV is missing")
	}
	return nil
}

func (f *dictionaryFile) where() string {
	return fmt.Sprintf("%s:%d", path.Join(f.folder, f.name), f.line)
}

// problem notes what is wrong with the line at hand.
func (f *dictionaryFile) problem(format string, args ...any) {
	if len(f.found) == maxProblems {
		f.more++
		return
	}
	f.found = append(f.found, fmt.Errorf("%s: %s", f.where(), fmt.Sprintf(format, args...)))
}

// statement reads one line.
func (f *dictionaryFile) statement(words []string) {
	type form struct {
		least, most int
		read        func([]string)
	}
	forms := map[string]form{
		"ATTRIBUTE":    {3, 5, f.attribute},
		"VALUE":        {3, 3, f.value},
		"VENDOR":       {2, 3, f.defineVendor},
		"BEGIN-VENDOR": {1, 2, f.beginVendor},
		"END-VENDOR":   {1, 1, f.endVendor},
		"BEGIN-TLV":    {1, 1, func([]string) { f.tlvs++ }},
		"END-TLV":      {1, 1, func([]string) { f.endTLV() }},
		"$INCLUDE":     {1, 1, func(w []string) { f.include(w[0], true) }},
		"$INCLUDE-":    {1, 1, func(w []string) { f.include(w[0], false) }},
	}
	keyword := strings.ToUpper(words[0])
	s, ok := forms[keyword]
	switch n := len(words) - 1; {
	case !ok:
		f.problem("must begin with ATTRIBUTE, VALUE, VENDOR, BEGIN-VENDOR, END-VENDOR or $INCLUDE, as with FreeRADIUS 3; got %q", word(words[0]))
	case n < s.least:
		f.problem("%s: a word is missing", keyword)
	case n > s.most:
		f.problem("%s: one word too many: %q", keyword, word(words[s.most+1]))
	default:
		s.read(words[1:])
	}
}

// include reads another file of the folder. fs.FS refuses paths that leave it,
// and os.Root symbolic links that do.
func (f *dictionaryFile) include(name string, must bool) {
	err := error(fs.ErrInvalid)
	if target := path.Join(path.Dir(f.name), name); !path.IsAbs(name) && fs.ValidPath(target) {
		err = f.file(target)
	}
	switch {
	case err == nil, !must && errors.Is(err, fs.ErrNotExist):
	case errors.Is(err, fs.ErrInvalid):
		f.problem("$INCLUDE must name a file in this folder; got %q", word(name))
	default:
		f.problem("$INCLUDE: %v", err)
	}
}

// defineVendor reads VENDOR name number [format=T,L[,c]].
func (f *dictionaryFile) defineVendor(words []string) {
	number, err := strconv.ParseUint(words[1], 0, 32)
	switch {
	case !attributeName.MatchString(words[0]):
		f.problem("VENDOR: must have a name of letters, digits and dashes; got %q", word(words[0]))
		return
	case err != nil || number == 0:
		f.problem("VENDOR: must have a number from 1 to 4294967295; got %q", word(words[1]))
		return
	}
	v := &vendor{name: words[0], number: uint32(number), where: f.where()}
	if len(words) > 2 {
		if !strings.HasPrefix(words[2], "format=") {
			f.problem("VENDOR: must have format=T,L behind the number; got %q", word(words[2]))
			return
		}
		if words[2] != "format=1,1" {
			v.format = fmt.Sprintf("vendor %s has %s", v.name, word(words[2]))
		}
	}
	key := strings.ToLower(v.name)
	if old := f.vendors[key]; old != nil && old.number != v.number {
		f.problem("VENDOR %s: is %d already, in %s", v.name, old.number, old.where)
		return
	}
	f.vendors[key], f.named = v, v.name
}

func (f *dictionaryFile) beginVendor(words []string) {
	v := f.vendors[strings.ToLower(words[0])]
	switch {
	case v == nil:
		f.problem("BEGIN-VENDOR: must be a VENDOR of a line before; got %q", word(words[0]))
		return
	case f.vendor != nil:
		f.problem("BEGIN-VENDOR: must stand behind END-VENDOR %s", f.vendor.name)
		return
	}
	f.vendor = v
	if f.within = v.format; len(words) > 1 {
		f.within = "it stands in another attribute: " + word(words[1])
	}
}

func (f *dictionaryFile) endVendor(words []string) {
	if f.vendor == nil || f.vendors[strings.ToLower(words[0])] != f.vendor {
		f.problem("END-VENDOR: must name the vendor of the last BEGIN-VENDOR; got %q", word(words[0]))
		return
	}
	f.vendor, f.within = nil, ""
}

func (f *dictionaryFile) endTLV() {
	if f.tlvs == 0 {
		f.problem("END-TLV: must stand behind BEGIN-TLV")
		return
	}
	f.tlvs--
}

// attribute reads ATTRIBUTE name number type [flags].
func (f *dictionaryFile) attribute(words []string) {
	def := &Definition{Name: words[0], where: f.where(), unsendable: f.within}
	if !attributeName.MatchString(def.Name) {
		f.problem("ATTRIBUTE: must have a name of letters, digits and dashes; got %q", word(def.Name))
		return
	}
	if f.vendor != nil {
		def.Vendor = f.vendor.number
	}
	if f.tlvs > 0 {
		def.refuse("it stands in another attribute")
	}
	if !f.typeOf(def, strings.ToLower(words[2])) {
		return
	}
	for _, list := range words[3:] {
		for flag := range strings.SplitSeq(list, ",") {
			f.flag(def, flag)
		}
	}
	if !f.numberOf(def, words[1]) || f.hidesStandard(def) {
		return
	}
	if def.Salt = def.Salt || IsSalted(def.Vendor, def.Type); def.Salt && def.tag && def.Format != "string" && def.Format != "octets" {
		def.refuse("an encrypted value with a tag must be text")
	}
	f.define(def)
}

// refuse says why no answer can carry the attribute. The first reason stays.
func (d *Definition) refuse(why string) {
	if d.unsendable == "" {
		d.unsendable = why
	}
}

func (f *dictionaryFile) numberOf(def *Definition, text string) bool {
	if strings.Contains(text, ".") {
		def.refuse("it stands in another attribute: " + word(text))
		return true
	}
	number, err := strconv.ParseUint(text, 0, 32)
	switch {
	case err != nil:
		f.problem("ATTRIBUTE %s: must have a number; got %q", def.Name, word(text))
		return false
	case number < 1 || number > 255:
		def.refuse(fmt.Sprintf("the number %d does not fit in an octet", number))
	default:
		def.Type = byte(number)
	}
	return true
}

func (f *dictionaryFile) typeOf(def *Definition, text string) bool {
	if m := octetsLength.FindStringSubmatch(text); m != nil {
		def.Format = "octets"
		def.length, _ = strconv.Atoi(m[1])
		return true
	}
	var ok bool
	if def.Format, ok = formats[text]; ok {
		return true
	}
	if slices.Contains(nested, text) {
		def.refuse("its type is " + text)
		return true
	}
	f.problem("ATTRIBUTE %s: unknown type %q", def.Name, word(text))
	return false
}

func (f *dictionaryFile) flag(def *Definition, flag string) {
	switch strings.ToLower(flag) {
	case "has_tag":
		def.tag = true
		switch def.Format {
		case "string", "octets", "integer":
		default:
			def.refuse("a tag stands before text or an integer, not " + def.Format)
		}
	case "encrypt=2":
		def.Salt = true
	case "encrypt=1", "encrypt=3":
		def.refuse(flag + " is not for answers; of the encryptions only encrypt=2 is known here")
	case "secret":
		def.secret = true
	case "array", "concat": // several attributes in place of one: a file can write them so
	case "virtual", "internal":
		def.refuse("it does not leave a server")
	default:
		v := f.vendors[strings.ToLower(flag)] // as dictionaries of old have it
		if v == nil || def.Vendor != 0 {
			f.problem("ATTRIBUTE %s: unknown flag %q", def.Name, word(flag))
			return
		}
		if def.Vendor = v.number; v.format != "" {
			def.refuse(v.format)
		}
	}
}

// define adds def, or puts it in the place of one with the same name and number.
func (f *dictionaryFile) define(def *Definition) {
	key := strings.ToLower(def.Name)
	old := f.names[key]
	switch {
	case old == nil && len(f.names) >= maxDictionaryNames:
		f.problem("ATTRIBUTE %s: must be one of at most %d", def.Name, maxDictionaryNames)
		return
	case old == nil || old.unsendable != "":
	case old.Key() == def.Key() && old.Format == def.Format:
		def.values = slices.Clone(old.values)
	case old.Key() == def.Key():
	case def.unsendable != "":
		return // what is inside of another attribute does not hide one that can be sent
	default:
		f.problem("ATTRIBUTE %s: is another attribute already, in %s", def.Name, old.where)
		return
	}
	f.put(def)
}

// put makes def the definition of its name, and of its number unless another
// name has that: the first name of a number is the one that is shown.
func (f *dictionaryFile) put(def *Definition) {
	f.own[def] = true
	f.names[strings.ToLower(def.Name)] = def
	if def.unsendable != "" {
		return
	}
	if same := f.types[def.Key()]; same == nil || strings.EqualFold(same.Name, def.Name) {
		f.types[def.Key()] = def
	}
}

// value reads VALUE attribute name number.
func (f *dictionaryFile) value(words []string) {
	number, err := strconv.ParseUint(words[2], 0, 64)
	if signed, e := strconv.ParseInt(words[2], 0, 32); err != nil && e == nil {
		number, err = uint64(uint32(signed)), nil
	}
	switch {
	case err != nil:
		f.problem("VALUE %s %s: must have a number; got %q", word(words[0]), word(words[1]), word(words[2]))
	case len(f.values) >= maxDictionaryNames:
		f.problem("VALUE: must be one of at most %d", maxDictionaryNames)
	default:
		f.values = append(f.values, valueLine{f, f.line, words[0], words[1], number})
	}
}

func (f *dictionaryFile) addValue(v valueLine) {
	def := f.names[strings.ToLower(v.attribute)]
	switch {
	case def == nil:
		f.problem("VALUE %s: must name an attribute of these dictionaries; got %q", word(v.name), word(v.attribute))
		return
	case def.unsendable != "":
		return
	case def.width() > 0 && v.number > def.most():
		f.problem("VALUE %s %s: must be at most %d; got %d", def.Name, word(v.name), def.most(), v.number)
		return
	}
	if !f.own[def] {
		clone := *def
		clone.values = slices.Clone(def.values)
		def = &clone
		f.put(def)
	}
	if def.width() == 0 {
		def.refuse(fmt.Sprintf("its type %s has no named values, but %s gives it one", def.Format, f.where()))
		return
	}
	i := slices.IndexFunc(def.values, func(old namedValue) bool { return strings.EqualFold(old.name, v.name) })
	if i >= 0 {
		def.values[i].number = v.number
		return
	}
	def.values = append(def.values, namedValue{v.name, v.number})
}

// word is a word of a file as an error may repeat it.
func word(s string) string { return text.Short(s, 64) }
