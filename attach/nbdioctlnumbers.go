//go:build amd64 || cgo

package attach

import "github.com/pojntfx/go-nbd/pkg/ioctl"

// The requests of linux/nbd.h, from go-nbd. It knows them on amd64, and with
// cgo elsewhere.
const (
	nbdSetSock       = ioctl.NEGOTIATION_IOCTL_SET_SOCK
	nbdSetBlockSize  = ioctl.NEGOTIATION_IOCTL_SET_BLOCKSIZE
	nbdSetSizeBlocks = ioctl.NEGOTIATION_IOCTL_SET_SIZE_BLOCKS
	nbdDoIt          = ioctl.NEGOTIATION_IOCTL_DO_IT
	nbdSetTimeout    = ioctl.NEGOTIATION_IOCTL_SET_TIMEOUT
	nbdDisconnect    = ioctl.TRANSMISSION_IOCTL_DISCONNECT
	nbdClearSock     = ioctl.TRANSMISSION_IOCTL_CLEAR_SOCK
)
