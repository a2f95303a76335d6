package listen

import (
	"cmp"
	"encoding/binary"
	"net/netip"
	"os"
	"strconv"
	"sync"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/radmatch/radmatch/radius"
	"github.com/radmatch/radmatch/radius/wire"
)

// These calls never block in the kernel, so they are made without a word to Go's
// scheduler: its thread that looks for calls which take long would be woken by the
// first of each login, and look again and again for a while.

// atOnce is how many datagrams one call takes.
const atOnce = 16

// mmsghdr is that of recvmmsg(2).
type mmsghdr struct {
	head unix.Msghdr
	n    uint32
}

// inbox is where a reader's datagrams come.
type inbox struct {
	heads [atOnce]mmsghdr
	vecs  [atOnce]unix.Iovec
	names [atOnce]unix.RawSockaddrInet6 // has room for either family
	oob   [atOnce][oobSize]byte
	data  [atOnce][wire.MaxPacketSize]byte
}

// receive serves the socket until it is closed, or the kernel complains.
func (k *socket) receive(a *radius.Arrival, take func(*radius.Arrival)) error {
	in := new(inbox)
	var complaint error
	// False asks to be called again when there is something to read. A datagram that came since the
	// last call counts, so that a call which was not filled need not be made once more.
	err := k.raw.Read(func(fd uintptr) bool {
		for {
			n, errno := in.fill(fd)
			switch {
			case errno == unix.EAGAIN:
				return false
			case errno == unix.EINTR:
				continue
			case errno != 0:
				complaint = os.NewSyscallError("recvmmsg", errno)
				return true
			}
			for i := range n {
				in.open(i, a)
				take(a)
			}
			if n < atOnce {
				return false
			}
		}
	})
	return cmp.Or(err, complaint)
}

// fill takes what is there, at most atOnce datagrams.
func (in *inbox) fill(fd uintptr) (int, syscall.Errno) {
	for i := range in.heads {
		in.vecs[i].Base = &in.data[i][0]
		in.vecs[i].SetLen(len(in.data[i]))
		h := &in.heads[i].head
		h.Name, h.Namelen = (*byte)(unsafe.Pointer(&in.names[i])), uint32(unsafe.Sizeof(in.names[i]))
		h.Iov = &in.vecs[i]
		h.SetIovlen(1)
		h.Control = &in.oob[i][0]
		h.SetControllen(len(in.oob[i]))
	}
	n, _, errno := syscall.RawSyscall6(unix.SYS_RECVMMSG, fd, uintptr(unsafe.Pointer(&in.heads[0])), atOnce, unix.MSG_DONTWAIT, 0, 0)
	return int(n), errno
}

// open makes an arrival of the i-th datagram.
func (in *inbox) open(i int, a *radius.Arrival) {
	a.Packet = in.data[i][:in.heads[i].n]
	a.Source = addrPort(&in.names[i])
	a.Local, a.Queued = readControl(in.oob[i][:in.heads[i].head.Controllen])
}

// addrPort reads a socket address of either family. A zone is its number.
func addrPort(name *unix.RawSockaddrInet6) netip.AddrPort {
	port := (*[2]byte)(unsafe.Pointer(&name.Port)) // both families have it at the same place
	number := binary.BigEndian.Uint16(port[:])
	if name.Family == unix.AF_INET {
		v4 := (*unix.RawSockaddrInet4)(unsafe.Pointer(name))
		return netip.AddrPortFrom(netip.AddrFrom4(v4.Addr), number)
	}
	addr := netip.AddrFrom16(name.Addr)
	if name.Scope_id != 0 {
		addr = addr.WithZone(strconv.FormatUint(uint64(name.Scope_id), 10))
	}
	return netip.AddrPortFrom(addr, number)
}

// outbox is one datagram on its way out.
type outbox struct {
	head  unix.Msghdr
	vec   unix.Iovec
	name  unix.RawSockaddrInet6
	oob   [oobSize]byte
	errno syscall.Errno
	send  func(fd uintptr) bool
}

var outboxes = sync.Pool{New: func() any {
	o := new(outbox)
	o.send = func(fd uintptr) bool {
		for {
			_, _, o.errno = syscall.RawSyscall(unix.SYS_SENDMSG, fd, uintptr(unsafe.Pointer(&o.head)), unix.MSG_DONTWAIT)
			if o.errno != unix.EINTR {
				return o.errno != unix.EAGAIN // until there is room
			}
		}
	}
	return o
}}

// Send implements radius.Sender.
func (k *socket) Send(answer []byte, to radius.Peer) error {
	o := outboxes.Get().(*outbox)
	defer outboxes.Put(o)
	o.errno = 0
	o.head = unix.Msghdr{Name: (*byte)(unsafe.Pointer(&o.name)), Iov: &o.vec}
	o.vec.Base = unsafe.SliceData(answer)
	o.vec.SetLen(len(answer))
	o.head.SetIovlen(1)
	o.head.Namelen = setAddrPort(&o.name, to.Source)
	if to.Local.IsValid() {
		oob := appendLocal(o.oob[:0], to.Local)
		o.head.Control = &oob[0]
		o.head.SetControllen(len(oob))
	}
	err := k.raw.Write(o.send)
	o.vec.Base = nil
	if err == nil && o.errno != 0 {
		err = os.NewSyscallError("sendmsg", o.errno)
	}
	return err
}

// setAddrPort is the inverse of addrPort, and returns how long the address is.
func setAddrPort(name *unix.RawSockaddrInet6, to netip.AddrPort) uint32 {
	port := (*[2]byte)(unsafe.Pointer(&name.Port))
	binary.BigEndian.PutUint16(port[:], to.Port())
	if to.Addr().Is4() {
		v4 := (*unix.RawSockaddrInet4)(unsafe.Pointer(name))
		v4.Family, v4.Addr = unix.AF_INET, to.Addr().As4()
		v4.Zero = [8]uint8{}
		return unix.SizeofSockaddrInet4
	}
	zone, _ := strconv.ParseUint(to.Addr().Zone(), 10, 32) // none: 0
	name.Family, name.Addr, name.Flowinfo, name.Scope_id = unix.AF_INET6, to.Addr().As16(), 0, uint32(zone)
	return unix.SizeofSockaddrInet6
}
