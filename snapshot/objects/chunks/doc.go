// Package chunks puts a cache between a reader and a store that is far away.
//
// # What is kept
//
// Objects are cut into chunks of 64 KiB. A chunk is looked for in memory, then
// on disk, then in the store. One request fetches a run of chunks: 256 KiB
// around a single read, since with a round trip of 20 ms and 100 MB/s that
// takes a tenth longer than 8 KiB would; up to 1 MiB of a longer one, several
// at once. Reads of less than a page, which look at headers, fetch one chunk
// only. A chunk is fetched once however many readers wait for it, and each is
// given out as soon as it has arrived, before its run has ended.
//
// # Reading ahead
//
// Reads that go forwards are recognised, several streams at once in an object,
// and what follows is fetched before it is asked for: at most as much as the
// stream has read already, so that a wrong guess costs no more than twice, and
// at most 8 MiB, in eight requests at once: with 20 ms to the store, what one
// connection brings is a fraction of what the line could.
//
// # Interruptions
//
// An error of the network or of an overloaded store is tried again with
// growing pauses until the reader's patience ends; the reader waits. Others
// (not there, not allowed, replaced) fail at once. Who wants to know is told
// that reading waits, and when it goes on.
//
// # On disk
//
// The directory is shared by sessions and processes without locks. Each 16 MiB
// of an object are one sparse file, with a header that names the object's
// version, a table of checksums and the chunks at fixed places. A chunk is
// valid if its checksum in the table matches; so one that was half written,
// written twice or lost with a power failure is just fetched again. The key
// holds the store, the object's name, its size, time and the store's tag, so
// another version is another entry; objects without a tag stay in memory. The
// files least recently used go when the directory is larger than its limit or
// its file system nearly full. It holds what the backup holds, and only its
// owner may read it.
package chunks
