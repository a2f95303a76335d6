package listen

import (
	"encoding/binary"
	"net/netip"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// oobSize holds one IP_PKTINFO or IPV6_PKTINFO message, and one SO_TIMESTAMPNS.
const oobSize = 128

// control prepares a socket before it is bound: it shares its port, learns when the
// kernel took each datagram, and on a wildcard address where it was sent to.
func (k *socket) control(network, _ string, raw syscall.RawConn) error {
	var err error
	ctlErr := raw.Control(func(fd uintptr) {
		err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEPORT, 1)
		_ = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_TIMESTAMPNS, 1) // without it nothing is stale
		if err != nil || !k.wildcard {
			return
		}
		if network == "udp4" {
			err = unix.SetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_PKTINFO, 1)
		} else {
			err = unix.SetsockoptInt(int(fd), unix.IPPROTO_IPV6, unix.IPV6_RECVPKTINFO, 1)
		}
	})
	if ctlErr != nil {
		return ctlErr
	}
	return err
}

// readControl reads the control messages of a received datagram: which address it
// was sent to, where that is asked for, and when the kernel took it.
func readControl(oob []byte) (local netip.Addr, at time.Time) {
	head := unix.CmsgLen(0)
	for len(oob) >= head {
		// A cmsghdr is a length, then level and type of four octets each.
		n := int(binary.NativeEndian.Uint32(oob))
		if unix.SizeofCmsghdr == 16 {
			n = int(binary.NativeEndian.Uint64(oob))
		}
		if n < head || n > len(oob) {
			return local, at
		}
		level := binary.NativeEndian.Uint32(oob[unix.SizeofCmsghdr-8:])
		kind := binary.NativeEndian.Uint32(oob[unix.SizeofCmsghdr-4:])
		data := oob[head:n]
		switch {
		case level == unix.IPPROTO_IP && kind == unix.IP_PKTINFO && len(data) >= unix.SizeofInet4Pktinfo:
			local = netip.AddrFrom4([4]byte(data[4:])) // index, then spec_dst and addr
		case level == unix.IPPROTO_IPV6 && kind == unix.IPV6_PKTINFO && len(data) >= unix.SizeofInet6Pktinfo:
			local = netip.AddrFrom16([16]byte(data)) // addr, then index
		case level == unix.SOL_SOCKET && kind == unix.SO_TIMESTAMPNS && len(data) >= 16:
			at = time.Unix(int64(binary.NativeEndian.Uint64(data)), int64(binary.NativeEndian.Uint64(data[8:])))
		}
		oob = oob[min(len(oob), unix.CmsgSpace(n-head)):]
	}
	return local, at
}

// appendLocal appends the control message that makes the kernel take local as the
// source of a datagram (ip(7), RFC 3542 §6). It names no interface, because the way
// back is the routing table's choice; for a link-local address the zone of the
// destination says it.
func appendLocal(oob []byte, local netip.Addr) []byte {
	level, kind, size := unix.IPPROTO_IPV6, unix.IPV6_PKTINFO, unix.SizeofInet6Pktinfo
	if local.Is4() {
		level, kind, size = unix.IPPROTO_IP, unix.IP_PKTINFO, unix.SizeofInet4Pktinfo
	}
	oob = oob[:unix.CmsgSpace(size)]
	clear(oob)
	if unix.SizeofCmsghdr == 16 {
		binary.NativeEndian.PutUint64(oob, uint64(unix.CmsgLen(size)))
	} else {
		binary.NativeEndian.PutUint32(oob, uint32(unix.CmsgLen(size)))
	}
	binary.NativeEndian.PutUint32(oob[unix.SizeofCmsghdr-8:], uint32(level))
	binary.NativeEndian.PutUint32(oob[unix.SizeofCmsghdr-4:], uint32(kind))
	data := oob[unix.CmsgLen(0):]
	if local.Is4() {
		addr := local.As4()
		copy(data[4:], addr[:])
	} else {
		addr := local.As16()
		copy(data, addr[:])
	}
	return oob
}
