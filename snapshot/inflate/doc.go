// Package inflate decodes gzip (RFC 1952) and the DEFLATE inside it (RFC 1951)
// in a way that can stop and start again anywhere between two symbols, which
// is what reading a compressed backup at random needs.
//
// The standard library and its faster relatives hide where in the input a
// decoder stands, so this is a decoder of our own. Walk makes one pass over a
// file and tells, after every chunk of output, the Restart from which Span
// decodes on: the bit where the next symbol begins, the bit where its block's
// header begins (its code tables are read again from there), and up to 32 KiB
// of output that later matches may refer to. A restart needs no boundary of a
// block, so that spans are as long as the caller likes, even if the file is
// one block of a gigabyte.
//
// The decoder looks codes up in tables of 11 (literals and lengths) and 8 bits
// (distances) with a second level for longer codes, keeps 56 and more bits of
// input in a register, and writes past the end of a match where there is room,
// as fast decoders do. Its results are compared with compress/flate's in tests.
//
// Input is not trusted: code sets that are over-subscribed or incomplete are
// refused as zlib refuses them, distances that lead before the member's
// beginning too, and memory is bounded by the buffers that the caller gives.
package inflate
