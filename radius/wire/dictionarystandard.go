package wire

import "strings"

// otherName is a name that a file without a VENDOR gives to a standard attribute. It
// waits until all vendors are known.
type otherName struct {
	at        *dictionaryFile
	line      int
	own, same *Definition
}

// hidesStandard refuses a vendor's attribute that would be one of the standard ones,
// because BEGIN-VENDOR was forgotten: User-Name would be sent for it. Files without a
// VENDOR may give standard attributes other names, but none that begins with a vendor's.
func (f *dictionaryFile) hidesStandard(def *Definition) bool {
	same := f.types[AttributeType{Type: def.Type}]
	switch {
	case f.vendor != nil || def.Vendor != 0 || def.unsendable != "" || same == nil || strings.EqualFold(same.Name, def.Name):
		return false
	case f.named == "":
		f.others = append(f.others, otherName{f, f.line, def, same})
		return false
	}
	f.hides(def, same, f.named)
	return true
}

func (f *dictionaryFile) hides(def, same *Definition, vendor string) {
	f.problem("ATTRIBUTE %s: would be %s, number %d of the standard ones: it must stand between BEGIN-VENDOR %s and END-VENDOR",
		def.Name, same.Name, def.Type, vendor)
}

// vendorIn returns the vendor with whose name an attribute's begins, as Acme-Role does.
func (r *dictionaryReader) vendorIn(name string) *vendor {
	for i := strings.LastIndexByte(name, '-'); i > 0; i = strings.LastIndexByte(name[:i], '-') {
		if v := r.vendors[strings.ToLower(name[:i])]; v != nil {
			return v
		}
	}
	return nil
}

// checkOthers refuses other names that are a vendor's.
func (r *dictionaryReader) checkOthers() {
	for _, o := range r.others {
		if v := r.vendorIn(o.own.Name); v != nil {
			o.at.line = o.line
			o.at.hides(o.own, o.same, v.name)
		}
	}
}
