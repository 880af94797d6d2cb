// Package cow keeps what is written over a base that is never written: the
// copy-on-write overlay.
//
// # Words
//
// A store is a directory that holds the layers over one base. A layer is a
// sparse data file, in which every block lies at the offset that it has on the
// device, and a small map file that says which blocks the layer holds and
// which of them are zeros. A layer is either a top, which one Overlay writes,
// or sealed, which nobody writes any more; a sealed layer is a checkpoint.
// Layers form a tree whose root is the base. A fork is a new top over a sealed
// layer: nothing is copied. docs/overlay-format.md describes every byte.
//
// # Reading and writing
//
// An Overlay resolves its whole chain of layers once, when it is opened, into
// one map from block to the file that has it (type blockMap). Looking a block
// up costs the same over one layer as over sixty-four, and takes no lock that
// a writer holds during I/O. A read then is one pread for each run of blocks
// that lie in one file, straight into the caller's buffer.
//
// A write of whole blocks is one pwrite into the top's data file, and after it
// the map is told, so that a reader finds either the old bytes or the new.
// Blocks of zeros take no data. A write of part of a block that the top does
// not hold yet reads the rest from below and stores the block whole.
//
// # Crash rule
//
// After kill -9 or power loss at any instant a layer opens with every byte as
// of the last Sync that returned, or as of a later write. Sync makes the data
// durable first and then appends what changed in the map, in one checksummed
// record; a record that did not get to the disk whole is as if it had never
// been written. Since a block's place never moves, a block that the map
// already held may be newer than the map: that is the "later write", as on any
// disk. Damage that a crash cannot have caused is refused with its place.
//
// # Locks, in their order
//
//   - Overlay.sync, one Sync or Checkpoint at a time
//   - the store's file "lock" (flock), for changes of the tree
//   - Overlay.mu, shared by writes, exclusive for the switch of a Checkpoint
//   - Overlay.regions, striped by MiB: shared by writes of whole blocks,
//     exclusive for what reads, merges and writes
//   - the map's chunks, then its pending changes: never held during I/O
//
// Store.mu (the list of open overlays), the holder's mutex and those of
// hostSpace and account are taken last, and nothing is locked while they are
// held.
//
// Reads take only the chunks' locks. A write that is held for want of room
// waits with no lock at all, so that reads, Sync, Checkpoint and Close go on.
//
// # Limits
//
// Blocks are 4 KiB, a device is at most 16 TiB, a chain has at most 1000
// layers. Merging layers in one process does not give space back that an
// Overlay of another process still has open.
package cow
