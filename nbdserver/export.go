package nbdserver

import (
	"errors"
	"fmt"
	"sync/atomic"
	"unicode/utf8"

	"github.com/pojntfx/go-nbd/pkg/protocol"

	"github.com/snapview/snapview/block"
)

// maxName is the longest string the protocol allows, in bytes.
const maxName = 4096

// An Export is a device under a name.
type Export struct {
	// Name is what clients ask for, at most 4096 bytes of UTF-8. "" is the
	// default export. When the server has a single export, clients that ask
	// for the default get it whatever its name.
	Name string

	// Description is shown by clients that list exports. Optional.
	Description string

	// Device is what is served. If it is a block.Device it takes writes.
	// If it is a block.ExtentMapper, clients see what is zeros
	// (base:allocation) and what the overlay holds (snapview:overlay). If it
	// is a block.Prefetcher it gets NBD_CMD_CACHE, and if it is a
	// block.FileMapper, long READs are sent from its files without a copy.
	// The server never closes it: that is for its owner, after Shutdown.
	Device block.Reader

	// ReadOnly refuses writes even though Device takes them.
	ReadOnly bool
}

// export is an Export with what was found out about its device once.
type export struct {
	Export
	size    int64
	dev     block.Device       // nil if read-only
	extents block.ExtentMapper // nil if it cannot say
	cache   block.Prefetcher   // nil if it takes no hints
	files   block.FileMapper   // nil if it does not know
	flags   uint16             // transmission flags without NBD_FLAG_SEND_DF
	fault   func(Fault)        // may be nil
	stats   exportStats
}

type exportStats struct {
	reads, writes, others   atomic.Uint64
	readBytes, writtenBytes atomic.Uint64
	faults                  atomic.Uint64
}

func newExport(e Export, fault func(Fault)) (*export, error) {
	switch {
	case e.Device == nil:
		return nil, fmt.Errorf("nbd export %q: no device", e.Name)
	case len(e.Name) > maxName || !utf8.ValidString(e.Name):
		return nil, fmt.Errorf("nbd export: name of %d bytes: NBD allows %d bytes of UTF-8", len(e.Name), maxName)
	case len(e.Description) > maxName || !utf8.ValidString(e.Description):
		return nil, fmt.Errorf("nbd export %q: description of %d bytes: NBD allows %d bytes of UTF-8",
			e.Name, len(e.Description), maxName)
	}
	x := &export{Export: e, size: e.Device.Size(), fault: fault}
	if x.size < 0 {
		return nil, fmt.Errorf("nbd export %q: device has size %d", e.Name, x.size)
	}
	// Every connection sees the same device and Sync covers them all, so
	// several connections are always consistent.
	x.flags = protocol.NEGOTIATION_REPLY_FLAGS_HAS_FLAGS |
		protocol.NEGOTIATION_REPLY_FLAGS_CAN_MULTI_CONN |
		flagSendFlush | flagSendFUA | flagSendCache
	if dev, ok := e.Device.(block.Device); ok && !e.ReadOnly {
		x.dev = dev
		x.flags |= flagSendTrim | flagSendWriteZeroes | flagSendFastZero
	} else {
		x.flags |= flagReadOnly
	}
	x.extents, _ = e.Device.(block.ExtentMapper)
	x.cache, _ = e.Device.(block.Prefetcher)
	x.files, _ = e.Device.(block.FileMapper)
	return x, nil
}

// Stats counts what one export has served since it was added.
type Stats struct {
	Reads, Writes, Others   uint64 // requests
	ReadBytes, WrittenBytes uint64 // payload of successful READs and WRITEs
	Faults                  uint64 // requests the device failed
}

func (x *export) snapshot() Stats {
	return Stats{
		Reads: x.stats.reads.Load(), Writes: x.stats.writes.Load(), Others: x.stats.others.Load(),
		ReadBytes: x.stats.readBytes.Load(), WrittenBytes: x.stats.writtenBytes.Load(),
		Faults: x.stats.faults.Load(),
	}
}

var errNoExport = errors.New("no such export")

// AddExport makes e available to clients that connect or negotiate from now
// on. Names must be unique.
func (s *Server) AddExport(e Export) error {
	x, err := newExport(e, s.opts.OnFault)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, have := range s.exports {
		if have.Name == e.Name {
			return fmt.Errorf("nbd export %q: a device is already exported under this name", e.Name)
		}
	}
	s.exports = append(s.exports, x)
	return nil
}

// RemoveExport takes the export away from clients that negotiate from now on
// and disconnects those that use it. Requests already at the device may still
// be running when it returns.
func (s *Server) RemoveExport(name string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, x := range s.exports {
		if x.Name != name {
			continue
		}
		s.exports = append(s.exports[:i:i], s.exports[i+1:]...)
		for c := range s.conns {
			if c.exp.Load() == x {
				c.abort()
			}
		}
		return nil
	}
	return fmt.Errorf("nbd export %q: %w", name, errNoExport)
}

// Stats returns the counters of the named export; ok is false if there is none.
func (s *Server) Stats(name string) (st Stats, ok bool) {
	if x := s.lookup(name); x != nil {
		return x.snapshot(), true
	}
	return Stats{}, false
}

// lookup finds the export a client asked for, or nil.
func (s *Server) lookup(name string) *export {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, x := range s.exports {
		if x.Name == name {
			return x
		}
	}
	if name == "" && len(s.exports) == 1 {
		return s.exports[0]
	}
	return nil
}

// list returns the exports in the order in which they were added.
func (s *Server) list() []*export {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]*export(nil), s.exports...)
}
