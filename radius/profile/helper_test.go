package profile

const testSecret = "xyzzy5461" // of the RFCs' examples

func authOf(n byte) *[16]byte { return &[16]byte{n, 1, 2, 3} }

// header is that of an Access-Request without attributes.
func header() []byte { return append([]byte{1, 1, 0, 20}, authOf(1)[:]...) }

func avp(typ byte, value string) []byte {
	return append([]byte{typ, byte(2 + len(value))}, value...)
}
