package radius

import (
	"encoding/binary"
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

// readControl reads the control messages of a received datagram: when the kernel
// took it, and, turned in place into that of its answer, the address that it was
// sent to. The kernel takes that as source (ip(7), RFC 3542 §6). The interface is
// cleared, because the way back is the routing table's choice; for a link-local
// address the zone of the destination says it.
func readControl(oob []byte) (reply []byte, at time.Time) {
	head := unix.CmsgLen(0)
	for len(oob) >= head {
		// A cmsghdr is a length, then level and type of four octets each.
		n := int(binary.NativeEndian.Uint32(oob))
		if unix.SizeofCmsghdr == 16 {
			n = int(binary.NativeEndian.Uint64(oob))
		}
		if n < head || n > len(oob) {
			return reply, at
		}
		level := binary.NativeEndian.Uint32(oob[unix.SizeofCmsghdr-8:])
		kind := binary.NativeEndian.Uint32(oob[unix.SizeofCmsghdr-4:])
		data := oob[head:n]
		switch {
		case level == unix.IPPROTO_IP && kind == unix.IP_PKTINFO && len(data) >= unix.SizeofInet4Pktinfo:
			binary.NativeEndian.PutUint32(data, 0) // index, then spec_dst and addr
			reply = oob[:min(len(oob), unix.CmsgSpace(unix.SizeofInet4Pktinfo))]
		case level == unix.IPPROTO_IPV6 && kind == unix.IPV6_PKTINFO && len(data) >= unix.SizeofInet6Pktinfo:
			binary.NativeEndian.PutUint32(data[16:], 0) // addr, then index
			reply = oob[:min(len(oob), unix.CmsgSpace(unix.SizeofInet6Pktinfo))]
		case level == unix.SOL_SOCKET && kind == unix.SO_TIMESTAMPNS && len(data) >= 16:
			at = time.Unix(int64(binary.NativeEndian.Uint64(data)), int64(binary.NativeEndian.Uint64(data[8:])))
		}
		oob = oob[min(len(oob), unix.CmsgSpace(n-head)):]
	}
	return reply, at
}
