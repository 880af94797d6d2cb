// Package vfs decodes what a snapshot of a Kloset store consists of: its
// header, the tree of its names, its files' entries, and the objects that list
// their chunks. All of them are MessagePack. (kloset, snapshot/header,
// snapshot/vfs, btree, objects)
package vfs

import (
	"time"

	"github.com/snapview/snapview/snapshot"
	"github.com/snapview/snapview/snapshot/kloset/format"
	"github.com/snapview/snapview/snapshot/kloset/msgpack"
)

// A Header is what a snapshot says of itself.
type Header struct {
	ID      format.MAC
	Time    time.Time
	Name    string
	Sources []Source
}

// A Source is one tree of a snapshot.
type Source struct {
	Type string     // of the importer: "fs", "tar", ...
	Dir  string     // that was backed up
	Root format.MAC // of the tree of names
	// Files and Bytes are the sum over all directories.
	Files, Bytes uint64
}

const maxSources = 1024

// ParseHeader reads a snapshot's header.
func ParseHeader(b []byte) (*Header, error) {
	h := &Header{}
	r := msgpack.NewReader(b)
	r.Fields(func(key string) {
		switch key {
		case "identifier":
			h.ID = mac(r)
		case "timestamp":
			h.Time = r.Time()
		case "name":
			h.Name = r.String()
		case "sources":
			for n := r.Array(); n > 0 && r.Err() == nil && len(h.Sources) < maxSources; n-- {
				h.Sources = append(h.Sources, source(r))
			}
		default:
			r.Skip()
		}
	})
	if err := r.Err(); err != nil {
		return nil, snapshot.Errorf(snapshot.ErrDamaged, "the snapshot's header: %w", err)
	}
	if len(h.Sources) == 0 {
		return nil, snapshot.Errorf(snapshot.ErrDamaged, "the snapshot's header names no source")
	}
	return h, nil
}

func source(r *msgpack.Reader) (s Source) {
	r.Fields(func(key string) {
		switch key {
		case "importer":
			r.Fields(func(key string) {
				switch key {
				case "type":
					s.Type = r.String()
				case "directory":
					s.Dir = r.String()
				default:
					r.Skip()
				}
			})
		case "root":
			r.Fields(func(key string) {
				if key == "root" {
					s.Root = mac(r)
				} else {
					r.Skip()
				}
			})
		case "summary":
			r.Fields(func(string) { // "directory" and "below"
				r.Fields(func(key string) {
					switch key {
					case "files":
						s.Files += r.Uint()
					case "size":
						s.Bytes += r.Uint()
					default:
						r.Skip()
					}
				})
			})
		default:
			r.Skip()
		}
	})
	return s
}

// mac reads a MAC; anything else of the wrong length is the zero MAC, which
// names nothing.
func mac(r *msgpack.Reader) (m format.MAC) {
	if b := r.Bytes(); len(b) == len(m) {
		copy(m[:], b)
	}
	return m
}
