package attach

import "github.com/snapview/snapview/block"

// Sequential returns d with sequential read-ahead below the file system: when
// reads of d form sequential streams, d's block.Prefetcher is told up to
// window bytes ahead of them (0: DefaultPrefetchWindow; negative: never).
//
// It exists because the kernel's read-ahead above the device serves two
// masters. While a backup is opened it must be small, since every byte read
// ahead is a byte read from the backup for nothing; a sequential scan of a
// large table wants megabytes under way; and a file keeps the read-ahead that
// was set when the server opened it. So the kernel's stays small, and what
// keeps the store busy happens here, where a scan can be told from a lookup.
//
// Every optional interface of package block that d has, the result has. A
// device that is no Prefetcher is returned as it is.
func Sequential(d block.Device, window int64) block.Device {
	p, ok := d.(block.Prefetcher)
	if !ok || window < 0 {
		return d
	}
	if window == 0 {
		window = DefaultPrefetchWindow
	}
	s := &sequential{Device: d, Prefetcher: p, ahead: newStreams(p, d.Size(), window)}
	m, mapsFiles := d.(block.FileMapper)
	e, mapsExtents := d.(block.ExtentMapper)
	switch {
	case mapsFiles && mapsExtents:
		return &struct {
			*sequentialMapper
			block.ExtentMapper
		}{&sequentialMapper{s, m}, e}
	case mapsFiles:
		return &sequentialMapper{s, m}
	case mapsExtents:
		return &struct {
			*sequential
			block.ExtentMapper
		}{s, e}
	}
	return s
}

// sequential is a Device whose reads are observed.
type sequential struct {
	block.Device
	block.Prefetcher
	ahead *streams
}

func (s *sequential) ReadAt(p []byte, off int64) (int, error) {
	s.ahead.observe(off, int64(len(p)))
	return s.Device.ReadAt(p, off)
}

// sequentialMapper is a sequential over a device that maps files. A mapping
// that succeeds stands for a read of what was mapped.
type sequentialMapper struct {
	*sequential
	mapper block.FileMapper
}

func (s *sequentialMapper) MapFile(off, n int64) (block.FileRange, func(), bool) {
	r, release, ok := s.mapper.MapFile(off, n)
	if ok {
		s.ahead.observe(off, min(n, r.Length))
	}
	return r, release, ok
}
