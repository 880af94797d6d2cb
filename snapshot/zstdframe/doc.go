// Package zstdframe decodes Zstandard frames (RFC 8878) in a way that can stop
// and start again between two blocks, so that package spans can read a
// compressed backup at random where it lies.
//
// A block of a frame depends on what came before it in three ways: it may use
// code tables of an earlier block again, it may name one of the last three
// offsets instead of a new one, and its matches may refer to a window of output
// of some megabytes. Tables and offsets take some hundred bytes. Of the window
// only what the blocks up to the next restart do refer to is kept, in pieces of
// 16 bytes: in tables and indexes that is a small part of it. So a restart's
// window can be written only when the span behind it has been decoded, and
// Walk, not its consumer, chooses where spans end: when they are about eighty
// times as long as their windows, or 4 MiB.
//
// Decoders in libraries tell none of this, so this is one of our own, but for
// the Huffman codes of literals, which github.com/klauspost/compress/huff0
// decodes. It works in four steps: blocks are cut into their sections, one
// after the other; literals and sequences of several blocks are decoded at the
// same time, on all cores; sequences are executed in order; and the consumer of
// the chunks takes checksums beside that. Span, which reads one span, does the
// same on one core. Results are compared with those of
// github.com/klauspost/compress/zstd and of the zstd program in tests.
//
// Input is not trusted: sizes are bounded before anything is allocated for
// them, the window by MaxWindow. Frames with a dictionary are refused.
package zstdframe
