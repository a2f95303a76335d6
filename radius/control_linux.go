package radius

import (
	"encoding/binary"
	"syscall"

	"golang.org/x/sys/unix"
)

// oobSize holds one IP_PKTINFO or IPV6_PKTINFO message.
const oobSize = 64

// control prepares a socket before it is bound: it shares its port, and one on
// a wildcard address learns where each datagram was sent to.
func (k *socket) control(network, _ string, raw syscall.RawConn) error {
	var err error
	ctlErr := raw.Control(func(fd uintptr) {
		err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEPORT, 1)
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

// replyControl turns the control message of a received datagram into that of its
// answer, in place: the kernel takes as source the address that the datagram was
// sent to (ip(7), RFC 3542 §6). The interface is cleared, because the way back is
// the routing table's choice; for a link-local address the zone of the
// destination says it. Nil where there is none.
func replyControl(oob []byte) []byte {
	head := unix.CmsgLen(0)
	if len(oob) < head {
		return nil
	}
	// A cmsghdr is a length, then level and type of four octets each.
	level := binary.NativeEndian.Uint32(oob[unix.SizeofCmsghdr-8:])
	kind := binary.NativeEndian.Uint32(oob[unix.SizeofCmsghdr-4:])
	data := oob[head:]
	switch {
	case level == unix.IPPROTO_IP && kind == unix.IP_PKTINFO && len(data) >= unix.SizeofInet4Pktinfo:
		binary.NativeEndian.PutUint32(data, 0) // index, then spec_dst and addr
		return oob[:unix.CmsgSpace(unix.SizeofInet4Pktinfo)]
	case level == unix.IPPROTO_IPV6 && kind == unix.IPV6_PKTINFO && len(data) >= unix.SizeofInet6Pktinfo:
		binary.NativeEndian.PutUint32(data[16:], 0) // addr, then index
		return oob[:unix.CmsgSpace(unix.SizeofInet6Pktinfo)]
	}
	return nil
}
