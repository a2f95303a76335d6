package upstream

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/radmatch/radmatch/mfa"
	"github.com/radmatch/radmatch/mfa/text"
	"github.com/radmatch/radmatch/radius/wire"
)

// identity reads an Access-Accept. An attribute that cannot be passed on whole is an error,
// never left out: an attribute may be what limits the access.
func (u *Primary) identity(r *reply, user mfa.Name, mschap bool) (mfa.Identity, error) {
	a := acceptance{reply: r, dictionary: u.dictionary, groupsIn: u.groups, mschap: mschap}
	for typ, value := range wire.Attributes(r.Packet) {
		if err := a.attribute(typ, value); err != nil {
			return mfa.Identity{}, err
		}
	}
	named := user.Sent()
	if a.user != "" {
		named = a.user
	}
	name, sure, err := u.names.canonical(named)
	if err != nil {
		return mfa.Identity{}, fmt.Errorf("its User-Name %q: %w", text.ForLog(named), err)
	}
	if u.Taken != nil && u.Taken(name) {
		return mfa.Identity{}, fmt.Errorf("user %q has the name of a user of another primary", text.ForLog(name.String()))
	}
	id := mfa.Identity{Name: name, Known: sure || a.user != "", Groups: a.groups, Attributes: a.attributes}
	if mschap {
		if id.MSCHAP = &a.keys; a.keys.Success == "" {
			return mfa.Identity{}, errors.New("it does not prove that it knows the password (MS-CHAP2-Success)")
		}
	}
	return id, nil // how much of it fits depends on the client, and is measured there
}

// acceptance collects what an Access-Accept says.
type acceptance struct {
	*reply
	dictionary *wire.Dictionary
	groupsIn   wire.AttributeType
	mschap     bool
	user       string
	groups     []mfa.Group
	attributes []mfa.Attribute
	keys       mfa.MSCHAPKeys
}

func (a *acceptance) attribute(typ byte, value []byte) error {
	use := a.dictionary.Use(wire.AttributeType{Type: typ})
	switch {
	case typ == wire.TypeVendorSpecific:
		return a.vendor(value)
	case typ == wire.TypeReplyMessage:
		return nil // texts for the user come from a fixed list
	case typ == wire.TypeUserName:
		if a.user = wire.ToText(value); len(value) == 0 {
			return errors.New("its User-Name is empty")
		}
	case use != wire.UseReply:
		return nil // State, Proxy-State, EAP-Message and what belongs in requests
	}
	return a.add(wire.Untag(mfa.Attribute{Type: typ, Value: value}))
}

// vendor reads a Vendor-Specific. One that is not made of attributes as RFC 2865
// §5.26 recommends is passed on as it is, except for the vendors that encrypt some.
func (a *acceptance) vendor(value []byte) error {
	if len(value) < 4 {
		return errors.New("malformed Vendor-Specific")
	}
	vendor, rest := wire.VendorOf(value)
	switch {
	case rest != 0 && (vendor == wire.VendorMicrosoft || vendor == wire.VendorAruba):
		return fmt.Errorf("malformed attribute of vendor %d", vendor)
	case rest != 0:
		return a.add(mfa.Attribute{Type: wire.TypeVendorSpecific, Value: value})
	}
	for typ, v := range wire.VendorAttributes(value, vendor) {
		if vendor == wire.VendorMicrosoft {
			done, err := a.microsoft(typ, v)
			if err != nil {
				return err
			}
			if done {
				continue
			}
		}
		if err := a.add(wire.Untag(mfa.Attribute{Vendor: vendor, Type: typ, Value: v})); err != nil {
			return err
		}
	}
	return nil
}

// microsoft takes what belongs to MS-CHAP; done is false for everything else.
func (a *acceptance) microsoft(typ byte, value []byte) (done bool, err error) {
	switch typ {
	case wire.MSCHAP2Success:
		if !a.mschap {
			return true, nil
		}
		// The identifier, then "S=" and 40 hexadecimal digits (RFC 2548 §2.3.3).
		digits, ok := strings.CutPrefix(string(value[min(1, len(value)):]), "S=")
		if _, err := hex.DecodeString(digits); !ok || err != nil || len(digits) != 40 {
			return true, errors.New("malformed MS-CHAP2-Success")
		}
		a.keys.Success = "S=" + digits
		return true, nil
	case wire.MSMPPESendKey, wire.MSMPPERecvKey:
		if !a.mschap {
			return false, nil
		}
		key, err := a.decrypt(value)
		if err != nil {
			return true, err
		}
		if typ == wire.MSMPPESendKey {
			a.keys.SendKey = mfa.Password(key)
		} else {
			a.keys.RecvKey = mfa.Password(key)
		}
		return true, nil
	case wire.MSMPPEEncryptPolicy, wire.MSMPPEEncryptTypes:
		return false, nil
	}
	return a.dictionary.Use(wire.AttributeType{Vendor: wire.VendorMicrosoft, Type: typ}) == wire.UseServer, nil
}

// add keeps an attribute for the NAS, in the clear where it must be encrypted
// for it with another secret.
func (a *acceptance) add(attr mfa.Attribute) error {
	def := a.dictionary.Definition(wire.AttributeType{Vendor: attr.Vendor, Type: attr.Type})
	if attr.Salted = wire.IsSalted(attr.Vendor, attr.Type) || def != nil && def.Salt; attr.Salted {
		var err error
		if attr.Value, err = a.decrypt(attr.Value); err != nil {
			name, _ := wire.FormatAttribute(attr)
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	if a.groupsIn.Type != 0 && a.groupsIn == (wire.AttributeType{Vendor: attr.Vendor, Type: attr.Type}) && len(attr.Value) > 0 {
		a.groups = append(a.groups, mfa.GroupOf(wire.ToText(attr.Value)))
	}
	a.attributes = append(a.attributes, attr)
	return nil
}

func (a *acceptance) decrypt(value []byte) ([]byte, error) {
	return wire.DecryptSalted(value, a.auth[:], a.server.secret)
}

// groupsAttribute reads the key of that name: an attribute of text.
func groupsAttribute(d *wire.Dictionary, name string) (wire.AttributeType, error) {
	if name == "" {
		return wire.AttributeType{}, nil
	}
	def, err := d.Lookup(name)
	switch {
	case err != nil:
		return wire.AttributeType{}, err
	case d.Use(def.Key()) != wire.UseReply || def.Salt || (def.Format != "string" && def.Format != "octets"):
		return wire.AttributeType{}, errors.New("must be an attribute of an Access-Accept that holds text, such as Filter-Id")
	}
	return wire.AttributeType{Vendor: def.Vendor, Type: def.Type}, nil
}

// errorReasons are the codes of MS-CHAP-Error (RFC 2759 §6) that say more than
// "wrong". 648 is the offer to change the password, which only who knows it gets;
// 646 and 649 are what NPS finds once the password was right. 647 is proof of
// nothing: FreeRADIUS says it before it looks at the password.
var errorReasons = map[string]struct {
	reason mfa.Reason
	proven bool
}{
	"646": {mfa.ReasonLogonHours, true},
	"647": {mfa.ReasonAccountDisabled, false},
	"648": {mfa.ReasonPasswordExpired, true},
	"649": {mfa.ReasonNoDialIn, true},
}

// mschapReject is what an Access-Reject to an MS-CHAPv2 login means.
func (r *reply) mschapReject() error {
	value := wire.Find(r.Packet, wire.AttributeType{Vendor: wire.VendorMicrosoft, Type: wire.MSCHAPError})
	_, text, ok := strings.Cut(string(value), "E=")
	if !ok {
		return errUpstreamReject
	}
	code, _, _ := strings.Cut(text, " ")
	if e, ok := errorReasons[code]; ok {
		return &mfa.AccountError{Reason: e.reason, Proven: e.proven, Err: fmt.Errorf("MS-CHAP-Error E=%s of radius %s", code, r.server.address)}
	}
	return errUpstreamReject
}

// maxChallengeText bounds a question of an upstream, in octets: some clients read
// one short Reply-Message.
const maxChallengeText = 200

// challengeText is a question of an upstream as a user may see it: one line, without
// characters that move the cursor or hide others, never empty, because some clients
// fail without a Reply-Message.
func challengeText(text string) string {
	var b strings.Builder
	for _, r := range text {
		if unicode.IsSpace(r) || !unicode.IsGraphic(r) {
			r = ' '
		}
		if b.Len()+utf8.RuneLen(r) > maxChallengeText {
			break
		}
		b.WriteRune(r)
	}
	if line := strings.TrimSpace(b.String()); line != "" {
		return line
	}
	return mfa.MessageAnswer
}

// forwarded are the standard attributes of a request that an upstream gets: where
// the login comes from and what for, which policies ask. radmatch
// says itself who it is.
var forwarded = [256]bool{
	wire.TypeNASIPAddress: true, wire.TypeNASPort: true, wire.TypeServiceType: true, wire.TypeFramedProtocol: true,
	wire.TypeCalledStationID: true, wire.TypeCallingStationID: true, wire.TypeAcctSessionID: true, wire.TypeNASPortType: true,
	wire.TypeTunnelClientEndpoint: true, wire.TypeConnectInfo: true, wire.TypeNASPortID: true, wire.TypeNASIPv6Address: true,
}

// Forwarded is what of a NAS's request goes upstream: the carrier of a login whose
// primary asks other servers.
type Forwarded struct{ attributes []byte }

// ForwardedOf copies from a request what goes upstream: the attributes above and
// those of vendors, except all that is, or may hide, a credential.
func ForwardedOf(r *wire.Request) *Forwarded { return &Forwarded{appendForwarded(nil, r)} }

func appendForwarded(b []byte, r *wire.Request) []byte {
	for typ, value := range wire.Attributes(r.Raw) {
		switch {
		case forwarded[typ]:
			b = wire.AppendAttribute(b, typ, value)
		case typ != wire.TypeVendorSpecific || len(value) < 4:
		case binary.BigEndian.Uint32(value) != wire.VendorMicrosoft:
			b = wire.AppendAttribute(b, typ, value)
		default:
			for typ, v := range wire.VendorAttributes(value, wire.VendorMicrosoft) {
				at := wire.AttributeType{Vendor: wire.VendorMicrosoft, Type: typ}
				if d := wire.StandardDictionary(); d.Definition(at) != nil && d.Use(at) != wire.UseServer {
					b = wire.AppendVendorAttribute(b, wire.VendorMicrosoft, typ, v)
				}
			}
		}
	}
	return b
}
