// Package format has the pieces that every file of a Kloset store is made of:
// MACs, types of resources, the envelope around a file, the store's
// configuration, and the trailer of a .ptar.
//
// The format is that of kloset v1 (github.com/PlakarKorp/kloset), read from
// its source at v1.1.3 and checked against stores that plakar v1.1.4 wrote.
// Integers are little-endian.
package format
