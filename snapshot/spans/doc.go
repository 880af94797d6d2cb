// Package spans makes a compressed file readable at random where it lies, by
// an index of restarts: places in the file from which it can be decoded
// without what comes before, given a window of earlier output. The bytes
// between two restarts are a span; a read decodes the spans that it touches,
// whole, compares them with the checksum in the index, and keeps them in a
// cache for a while.
//
// A codec makes one pass over the file and emits chunks of output, each with
// the restart behind it. Build chooses which of them become entries: windows
// are compressed, and a span is made about eighty times as long as its window
// takes in the index, so that the index stays near 1.3 % of the data, whatever
// the data is. Checksums, windows and what the caller does with the data take
// place beside the decoding, on another core.
//
// # Format
//
// All numbers are little-endian.
//
//	"snapview spans 1"  16 bytes
//	u32 length, tag     what the index was made from, chosen by the writer
//	windows             each a Zstandard frame with a checksum
//	table               48 bytes for each span:
//	    u64 offset of the span's data      i64 restart: codec's own two numbers
//	    i64                                u64 offset of the window in this file
//	    u32 bytes of it here               u32 bytes of it decoded
//	    u32 CRC-32C of the span's data     u32 0
//	foot                u64 offset of the table, u64 spans, u64 size of the data,
//	                    i64 the restart at the end of the data, i64,
//	                    u32 CRC-32C of the table and the foot before it, "spansend"
//
// An index comes out of a cache that only its owner can write, but it is
// checked as if it did not: every number is bounded before it is used.
package spans
