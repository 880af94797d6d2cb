package nbdserver

import (
	"errors"
	"io/fs"
	"syscall"

	"github.com/pojntfx/go-nbd/pkg/protocol"
)

// errnoOf translates a device's error into the number sent to the client.
// Anything without a better name is EIO.
func errnoOf(err error) uint32 {
	switch {
	case err == nil:
		return 0
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT), errors.Is(err, syscall.EFBIG):
		return errnoNoSpace
	case errors.Is(err, fs.ErrPermission), errors.Is(err, syscall.EROFS):
		return protocol.TRANSMISSION_ERROR_EPERM
	case errors.Is(err, fs.ErrClosed), errors.Is(err, syscall.ESHUTDOWN):
		return errnoShutdown
	case errors.Is(err, syscall.ENOMEM):
		return errnoNoMem
	case errors.Is(err, errors.ErrUnsupported):
		return errnoNotSup
	case errors.Is(err, syscall.EINVAL), errors.Is(err, fs.ErrInvalid):
		return protocol.TRANSMISSION_ERROR_EINVAL
	case errors.Is(err, syscall.EOVERFLOW):
		return errnoOverflow
	}
	return errnoIO
}

// errorText is the human-readable part of a structured error.
func errorText(errno uint32) string {
	if errno == 0 {
		return ""
	}
	return syscall.Errno(errno).Error()
}
