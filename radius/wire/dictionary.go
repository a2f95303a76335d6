package wire

import (
	"cmp"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"

	"github.com/radmatch/radmatch/mfa/textfile"
)

// The attributes that radmatch knows by itself, in the format of FreeRADIUS.
//
//go:embed dictionary/*.dictionary
var builtIn embed.FS

// Dictionary knows attributes by their names. It is immutable and may be used
// concurrently.
type Dictionary struct {
	names   map[string]*Definition // by lower-case name
	types   map[AttributeType]*Definition
	vendors map[string]*vendor // by lower-case name
	uses    map[AttributeType]Use
}

type vendor struct {
	name   string
	number uint32
	format string // why its attributes cannot be sent; empty: they can
	where  string
}

// Definition is what a dictionary says of one attribute. It must not be changed.
type Definition struct {
	Name   string
	Vendor uint32
	Type   byte
	Format string // string octets integer … : see formats
	length int    // of octets[N]; 0: any
	tag    bool   // may carry a tag, RFC 2868
	Salt   bool   // encrypted for the client, RFC 2868 §3.5
	secret bool   // not shown
	values []namedValue
	where  string // FILE:LINE
	// unsendable is why no answer can carry the attribute; empty: one can.
	unsendable string
}

type namedValue struct {
	name   string
	number uint64
}

// Key is the number of the attribute.
func (d *Definition) Key() AttributeType { return AttributeType{Vendor: d.Vendor, Type: d.Type} }

func (d *Definition) number(name string) (uint64, bool) {
	for _, v := range d.values {
		if strings.EqualFold(v.name, name) {
			return v.number, true
		}
	}
	return 0, false
}

// StandardDictionary returns the attributes that are built in. A fault in them is
// a bug of the build.
func StandardDictionary() *Dictionary { return dictionary() }

var dictionary = sync.OnceValue(func() *Dictionary {
	d := &Dictionary{
		names: make(map[string]*Definition), types: make(map[AttributeType]*Definition),
		vendors: make(map[string]*vendor), uses: make(map[AttributeType]Use),
	}
	files, err := fs.Sub(builtIn, "dictionary")
	if err == nil {
		err = d.read(files, "dictionary")
	}
	if err != nil {
		panic("radius: internal error: " + err.Error())
	}
	d.reserve(serverAttributes, UseServer)
	d.reserve(requestAttributes, useRequest)
	for typ := byte(40); typ <= 51; typ++ { // of accounting, RFC 2866 §5
		d.uses[AttributeType{Type: typ}] = useRequest
	}
	return d
})

// OpenDictionaries returns the attributes that are built in and, over them, those
// of the files `dictionary.*` and `*.dictionary` in folder; where there is a file
// `dictionary`, of that one and what it includes. They have the format of
// FreeRADIUS 3; $INCLUDE does not leave the folder. Every problem is
// in the error, each as `FILE:LINE: rule`. An attribute that no answer can carry
// is none: see Unsendable.
func OpenDictionaries(folder string) (*Dictionary, error) {
	root, err := os.OpenRoot(folder)
	if err != nil {
		return nil, fmt.Errorf("dictionaries: %w", err)
	}
	defer root.Close()
	old := dictionary()
	d := &Dictionary{names: maps.Clone(old.names), types: maps.Clone(old.types), vendors: maps.Clone(old.vendors), uses: old.uses}
	if err := d.read(root.FS(), folder); err != nil {
		return nil, err
	}
	return d, nil
}

// Definition is what the dictionary says of an attribute, nil where it knows none.
func (d *Dictionary) Definition(t AttributeType) *Definition { return d.types[t] }

// Use says who may set an attribute.
func (d *Dictionary) Use(t AttributeType) Use { return d.uses[t] }

// Len is how many attributes the dictionary knows.
func (d *Dictionary) Len() int { return len(d.names) }

// Unsendable lists the attributes that no answer can carry, as `FILE:LINE: NAME:
// why`. Such an attribute is an error where it is used.
func (d *Dictionary) Unsendable() []string {
	var list []*Definition
	for _, def := range d.names {
		if def.unsendable != "" {
			list = append(list, def)
		}
	}
	slices.SortFunc(list, func(a, b *Definition) int {
		return cmp.Or(cmp.Compare(a.where, b.where), cmp.Compare(a.Name, b.Name))
	})
	var texts []string
	for _, def := range list {
		texts = append(texts, fmt.Sprintf("%s: %s: %s", def.where, def.Name, def.unsendable))
	}
	return texts
}

// maxVendorsShown bounds the vendors in an error.
const maxVendorsShown = 20

// Lookup returns the definition of a name, in whatever case.
func (d *Dictionary) Lookup(name string) (*Definition, error) {
	if def, ok := d.names[strings.ToLower(name)]; ok {
		return def, nil
	}
	var names []string
	for _, v := range d.vendors {
		names = append(names, v.name)
	}
	slices.Sort(names)
	text := strings.Join(names, ", ")
	if n := len(names); n > maxVendorsShown {
		text = fmt.Sprintf("%s and %d more", strings.Join(names[:maxVendorsShown], ", "), n-maxVendorsShown)
	}
	return nil, errors.New("unknown; known are the names of RFC 2865, 2868, 2869 and their extensions, and of the vendors " + text)
}

// serverAttributes are set only by the server, requestAttributes belong in requests:
// no file may put one of either kind into an answer. They are held by number: a
// dictionary that gives State another name does not make it settable.
var (
	serverAttributes = []string{
		"User-Password", "CHAP-Password", "State", "Vendor-Specific", "Proxy-State", "CHAP-Challenge", "ARAP-Password",
		"Prompt", "EAP-Message", "Message-Authenticator",
		"MS-CHAP-Response", "MS-CHAP-Error", "MS-CHAP-CPW-1", "MS-CHAP-CPW-2", "MS-CHAP-LM-Enc-PW", "MS-CHAP-NT-Enc-PW",
		"MS-MPPE-Encryption-Policy", "MS-MPPE-Encryption-Types", "MS-CHAP-Challenge", "MS-CHAP-MPPE-Keys",
		"MS-MPPE-Send-Key", "MS-MPPE-Recv-Key", "MS-CHAP2-Response", "MS-CHAP2-Success", "MS-CHAP2-CPW",
	}
	requestAttributes = []string{
		"NAS-IP-Address", "NAS-Port", "Called-Station-Id", "Calling-Station-Id", "NAS-Identifier", "Event-Timestamp",
		"NAS-Port-Type", "ARAP-Security", "ARAP-Security-Data", "Password-Retry", "Connect-Info", "NAS-Port-Id", "NAS-IPv6-Address",
		"MS-Network-Access-Server-Type", "MS-Machine-Name", "PaloAlto-Client-Source-IP",
	}
)

// Use says who may set an attribute.
type Use int

const (
	UseReply   Use = iota // a file, in an answer
	useRequest            // a client
	UseServer
)

func (d *Dictionary) reserve(names []string, u Use) {
	for _, name := range names {
		d.uses[d.names[strings.ToLower(name)].Key()] = u
	}
}

func readBounded(files fs.FS, name string) (string, error) {
	f, err := files.Open(name)
	if err != nil {
		return "", err
	}
	defer f.Close()
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		return "", errors.Join(err, errors.New("must be a file")) // a pipe would block the start
	}
	text, err := textfile.ReadFrom(f, 0, maxDictionaryFile)
	return string(text), err
}
