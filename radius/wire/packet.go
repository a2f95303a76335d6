package wire

import (
	"encoding/binary"

	layeh "layeh.com/radius"
)

// Sizes of RFC 2865 §3.
const (
	HeaderSize    = 20
	MaxPacketSize = 4096
	AuthSize      = 16
)

// Trim returns the packet of a datagram without its padding (RFC 2865 §3), or
// nil if it has no whole header or not the octets that it claims.
func Trim(datagram []byte) []byte {
	if len(datagram) < HeaderSize {
		return nil
	}
	n := int(binary.BigEndian.Uint16(datagram[2:]))
	if n < HeaderSize || n > MaxPacketSize || n > len(datagram) {
		return nil
	}
	return datagram[:n]
}

// Find returns the value of the first attribute of type t, nil if there is none.
func Find(p []byte, t AttributeType) []byte {
	for typ, value := range Attributes(p) {
		if t.Vendor == 0 && typ == t.Type {
			return value
		}
		if t.Vendor == 0 || typ != TypeVendorSpecific {
			continue
		}
		for typ, v := range VendorAttributes(value, t.Vendor) {
			if typ == t.Type {
				return v
			}
		}
	}
	return nil
}

// Attributes yields type and value of each attribute of a packet that was walked before.
func Attributes(p []byte) func(yield func(byte, []byte) bool) {
	return func(yield func(byte, []byte) bool) {
		for off := HeaderSize; len(p)-off >= 2; {
			end := off + int(p[off+1])
			if end < off+2 || end > len(p) || !yield(p[off], p[off+2:end:end]) {
				return
			}
			off = end
		}
	}
}

// VendorAttributes yields type and value of each attribute that a
// Vendor-Specific value holds, if it is the given vendor's and well formed. 0 is
// no vendor: an AttributeType with it is one of the RFCs' own attributes, and
// anyone who writes 0 into a Vendor-Specific must not smuggle one of them in.
func VendorAttributes(value []byte, vendor uint32) func(yield func(byte, []byte) bool) {
	return func(yield func(byte, []byte) bool) {
		if vendor == 0 || len(value) < 4 || binary.BigEndian.Uint32(value) != vendor {
			return
		}
		for off := 4; len(value)-off >= 2; {
			end := off + int(value[off+1])
			if end < off+2 || end > len(value) || !yield(value[off], value[off+2:end:end]) {
				return
			}
			off = end
		}
	}
}

// VendorOf returns the vendor of a Vendor-Specific value, and how many of its
// octets are left that vendorAttributes does not yield: they are not formed as RFC
// 2865 §5.26 recommends.
func VendorOf(value []byte) (vendor uint32, rest int) {
	if len(value) < 4 {
		return 0, len(value)
	}
	vendor, rest = binary.BigEndian.Uint32(value), len(value)-4
	for _, v := range VendorAttributes(value, vendor) {
		rest -= 2 + len(v)
	}
	return vendor, rest
}

// AppendAttribute appends one attribute as it stands in a packet.
func AppendAttribute(b []byte, typ byte, value []byte) []byte {
	return append(append(b, typ, byte(2+len(value))), value...)
}

// AppendVendorAttribute appends a vendor's attribute in a Vendor-Specific of its own.
func AppendVendorAttribute(b []byte, vendor uint32, typ byte, value []byte) []byte {
	b = append(b, TypeVendorSpecific, byte(8+len(value)))
	return AppendAttribute(binary.BigEndian.AppendUint32(b, vendor), typ, value)
}

// Code is the kind of a packet.
type Code = layeh.Code

// The codes that radmatch sends or takes.
const (
	AccessRequest      Code = layeh.CodeAccessRequest
	AccessAccept       Code = layeh.CodeAccessAccept
	AccessReject       Code = layeh.CodeAccessReject
	AccessChallenge    Code = layeh.CodeAccessChallenge
	AccountingRequest  Code = layeh.CodeAccountingRequest
	AccountingResponse Code = layeh.CodeAccountingResponse
	StatusServer       Code = layeh.CodeStatusServer
)
