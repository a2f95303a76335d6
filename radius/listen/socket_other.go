//go:build !linux

package listen

import (
	"github.com/radmatch/radmatch/radius"
	"github.com/radmatch/radmatch/radius/wire"
)

// receive serves the socket until it is closed, or the kernel complains.
func (k *socket) receive(a *radius.Arrival, take func(*radius.Arrival)) error {
	var datagram [wire.MaxPacketSize]byte
	for {
		n, source, err := k.conn.ReadFromUDPAddrPort(datagram[:])
		if err != nil {
			return err
		}
		a.Packet, a.Source = datagram[:n], source
		take(a)
	}
}

// Send implements radius.Sender.
func (k *socket) Send(answer []byte, to radius.Peer) error {
	_, err := k.conn.WriteToUDPAddrPort(answer, to.Source)
	return err
}
