package snapshottest

import (
	"context"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"math"
	"path"
	"testing"

	"github.com/snapview/snapview/snapshot"
)

// A Cluster is a made-up data directory in memory, by path below data/ (or
// "../tablespaces/<oid>/..."). NewCluster's passes every check; a test changes
// what it wants to see noticed.
type Cluster map[string][]byte

// NewCluster returns a cluster of PostgreSQL 15 as after a backup, with 1 MiB
// WAL segments.
func NewCluster() Cluster {
	return Cluster{
		"PG_VERSION":                      []byte("15\n"),
		"global/pg_control":               Control(6),
		"global/1262":                     make([]byte, 8192),
		"base/5/PG_VERSION":               []byte("15\n"),
		"base/5/1259":                     make([]byte, 3*8192),
		"postgresql.conf":                 []byte("max_connections = 100\n"),
		"backup_label":                    []byte("START WAL LOCATION: 0/2000028 (file 000000010000000000000020)\nCHECKPOINT LOCATION: 0/2000060\nBACKUP METHOD: streamed\nBACKUP FROM: primary\nSTART TIME: 2026-11-21 06:31:58 UTC\nLABEL: made up\nSTART TIMELINE: 1\n"),
		"pg_wal/000000010000000000000020": make([]byte, 1<<20),
	}
}

// Snapshot opens the cluster.
func (c Cluster) Snapshot(t testing.TB, opts snapshot.Options) (*snapshot.Snapshot, error) {
	t.Helper()
	b, counter := snapshot.NewBuilder(), &snapshot.Counter{}
	for name, text := range c {
		if err := b.File(path.Join("data", name), int64(len(text)), counter.Reader(snapshot.Bytes(text)), snapshot.Meta{Perm: 0o600, Physical: -1}); err != nil {
			t.Fatal(err)
		}
	}
	return snapshot.Identify(context.Background(), snapshot.Draft{
		Kind: snapshot.KindMemory, Ref: "memory", Builder: b, Counter: counter,
	}, opts)
}

// Control makes a pg_control of PostgreSQL 15 in the given state.
func Control(state uint32) []byte {
	b := make([]byte, 8192)
	le := binary.LittleEndian
	le.PutUint64(b[0:], 7700000000000000001)
	le.PutUint32(b[8:], 1300)
	le.PutUint32(b[12:], 202209061)
	le.PutUint32(b[16:], state)
	le.PutUint64(b[24:], 1_795_000_000)
	le.PutUint64(b[32:], 0x2000060) // checkPoint
	le.PutUint64(b[40:], 0x2000028) // redo
	le.PutUint32(b[48:], 1)
	le.PutUint32(b[52:], 1)
	le.PutUint64(b[104:], 1_795_000_000)
	le.PutUint32(b[172:], 1) // wal_level
	for i, v := range []uint32{100, 8, 10, 0, 64} {
		le.PutUint32(b[180+4*i:], v)
	}
	le.PutUint32(b[204:], 8) // maxAlign
	le.PutUint64(b[208:], math.Float64bits(1234567.0))
	for i, v := range []uint32{8192, 131072, 8192, 1 << 20, 64, 32, 1996, 2048} {
		le.PutUint32(b[216+4*i:], v)
	}
	b[248] = 1
	le.PutUint32(b[252:], 1) // checksums
	Seal(b)
	return b
}

// Seal writes the checksum of a pg_control of PostgreSQL 13 to 17.
func Seal(b []byte) {
	const crcAt = 288
	binary.LittleEndian.PutUint32(b[crcAt:], crc32.Checksum(b[:crcAt], crc32.MakeTable(crc32.Castagnoli)))
}

// Outcomes lists a snapshot's checks as "name outcome", for comparing.
func Outcomes(s *snapshot.Snapshot) map[string]snapshot.Outcome {
	rank := map[snapshot.Outcome]int{snapshot.OK: 0, snapshot.Info: 1, snapshot.Warn: 2, snapshot.Refuse: 3}
	worst := map[string]snapshot.Outcome{}
	for _, c := range s.Checks {
		if old, ok := worst[c.Name]; !ok || rank[c.Outcome] > rank[old] {
			worst[c.Name] = c.Outcome
		}
	}
	return worst
}

// Report prints a snapshot's checks for a failed test.
func Report(s *snapshot.Snapshot) (text string) {
	for _, c := range s.Checks {
		text += fmt.Sprintf("%s %s: %s\n", c.Outcome, c.Name, c.Detail)
	}
	return text
}
