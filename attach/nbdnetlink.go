package attach

import (
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/mdlayher/genetlink"
	"github.com/mdlayher/netlink"
)

// The kernel's generic netlink interface for NBD (linux/nbd-netlink.h).
const (
	nbdFamily  = "nbd"
	nbdVersion = 1

	nbdCmdConnect    = 1
	nbdCmdDisconnect = 2

	nbdAttrIndex       = 1
	nbdAttrSizeBytes   = 2
	nbdAttrBlockSize   = 3
	nbdAttrTimeout     = 4
	nbdAttrServerFlags = 5
	nbdAttrSockets     = 7
	nbdAttrDeadConn    = 8
	nbdAttrBackend     = 10

	nbdSockItem = 1
	nbdSockFD   = 1
)

// nbdSetup is what the kernel needs to drive an export.
type nbdSetup struct {
	export  nbdExport
	sockets []*os.File
	timeout time.Duration // of a request
	backend string        // identifier kept by the kernel with the device
}

// timeoutSeconds rounds up, since 0 means no timeout.
func (s nbdSetup) timeoutSeconds() uint64 {
	return uint64((s.timeout + time.Second - 1) / time.Second)
}

// nbdCommand sends one command to the kernel's NBD family over a socket of its
// own and returns the replies. Each command gets its own since the kernel may
// answer in more messages than genetlink waits for, which would then be taken
// for the answer to the next command.
//
// The error wraps os.ErrNotExist when the kernel has no NBD client, or does not
// show it to this network namespace.
func nbdCommand(cmd uint8, flags netlink.HeaderFlags, enc *netlink.AttributeEncoder) ([]genetlink.Message, error) {
	data, err := enc.Encode()
	if err != nil {
		return nil, err
	}
	conn, err := genetlink.Dial(nil)
	if err != nil {
		return nil, fmt.Errorf("open generic netlink: %w", err)
	}
	defer conn.Close()
	family, err := conn.GetFamily(nbdFamily)
	if err != nil {
		return nil, fmt.Errorf("look for the kernel's NBD client by netlink: %w", err)
	}
	return conn.Execute(genetlink.Message{
		Header: genetlink.Header{Command: cmd, Version: nbdVersion},
		Data:   data,
	}, family.ID, netlink.Request|flags)
}

// haveNBDNetlink says whether nbdCommand can be used here.
func haveNBDNetlink() error {
	conn, err := genetlink.Dial(nil)
	if err != nil {
		return err
	}
	defer conn.Close()
	_, err = conn.GetFamily(nbdFamily)
	return err
}

// connectNetlink gives the sockets to a device that the kernel chooses and
// returns its index. The kernel keeps references to the sockets.
func connectNetlink(s nbdSetup) (int, error) {
	enc := netlink.NewAttributeEncoder()
	enc.Uint64(nbdAttrSizeBytes, uint64(s.export.size))
	enc.Uint64(nbdAttrBlockSize, nbdBlockSize)
	enc.Uint64(nbdAttrServerFlags, uint64(s.export.flags))
	enc.Uint64(nbdAttrTimeout, s.timeoutSeconds())
	// How long requests wait for a new connection once all are dead. The
	// server lives in this process: nothing would ever reconnect.
	enc.Uint64(nbdAttrDeadConn, 0)
	enc.Nested(nbdAttrSockets, func(list *netlink.AttributeEncoder) error {
		for _, f := range s.sockets {
			list.Nested(nbdSockItem, func(item *netlink.AttributeEncoder) error {
				item.Uint32(nbdSockFD, uint32(f.Fd()))
				return nil
			})
		}
		return nil
	})
	if s.backend != "" {
		enc.String(nbdAttrBackend, s.backend)
	}
	// Without asking for an acknowledgement: the reply is one.
	replies, err := nbdCommand(nbdCmdConnect, 0, enc)
	if err != nil {
		return -1, fmt.Errorf("connect an NBD device by netlink: %w", err)
	}
	for _, m := range replies {
		dec, err := netlink.NewAttributeDecoder(m.Data)
		if err != nil {
			return -1, fmt.Errorf("read the kernel's NBD reply: %w", err)
		}
		for dec.Next() {
			if dec.Type() == nbdAttrIndex {
				return int(dec.Uint32()), dec.Err()
			}
		}
	}
	return -1, errors.New("the kernel connected an NBD device but does not say which")
}

// disconnectNetlink takes the device down, pending requests included.
func disconnectNetlink(index int) error {
	enc := netlink.NewAttributeEncoder()
	enc.Uint32(nbdAttrIndex, uint32(index))
	if _, err := nbdCommand(nbdCmdDisconnect, netlink.Acknowledge, enc); err != nil {
		return fmt.Errorf("disconnect /dev/nbd%d by netlink: %w", index, err)
	}
	return nil
}
