package vfs

import (
	"io/fs"
	"math"
	"time"

	"github.com/snapview/snapview/snapshot"
	"github.com/snapview/snapview/snapshot/kloset/format"
	"github.com/snapview/snapview/snapshot/kloset/msgpack"
)

// An Entry is one name of a snapshot. Its owner is not read: the base has
// owners of its own.
type Entry struct {
	Path    string // absolute, clean
	Mode    fs.FileMode
	Size    int64
	ModTime time.Time
	Link    string     // target of a symbolic link
	Object  format.MAC // of a file that is not empty
}

// ParseEntry reads the entry at a path.
func ParseEntry(b []byte) (e Entry, err error) {
	r := msgpack.NewReader(b)
	r.Fields(func(key string) {
		switch key {
		case "file_info":
			r.Fields(func(key string) {
				switch key {
				case "size":
					e.Size = r.Int()
				case "mode":
					e.Mode = fs.FileMode(r.Uint() & math.MaxUint32)
				case "mod_time":
					e.ModTime = r.Time()
				default:
					r.Skip()
				}
			})
		case "symlink_target":
			e.Link = r.String()
		case "object":
			e.Object = mac(r)
		default:
			r.Skip()
		}
	})
	if err := r.Err(); err != nil {
		return e, snapshot.Errorf(snapshot.ErrDamaged, "%w", err)
	}
	if e.Size < 0 {
		return e, snapshot.Errorf(snapshot.ErrDamaged, "a size of %d bytes", e.Size)
	}
	return e, nil
}

// A Chunk is a piece of a file.
type Chunk struct {
	MAC    format.MAC
	Length int64 // bytes
}

// ParseObject reads the chunks of an object, in their order. Together they must
// have size bytes.
func ParseObject(b []byte, size int64) ([]Chunk, error) {
	var chunks []Chunk
	var sum int64
	r := msgpack.NewReader(b)
	r.Fields(func(key string) {
		if key != "chunks" {
			r.Skip()
			return
		}
		n := r.Array()
		if chunks = nil; r.Err() == nil {
			chunks = make([]Chunk, 0, min(n, 1<<16))
		}
		for sum = 0; n > 0 && r.Err() == nil; n-- {
			var c Chunk
			r.Fields(func(key string) {
				switch key {
				case "contentMAC":
					c.MAC = mac(r)
				case "length":
					c.Length = int64(r.Uint() & math.MaxUint32)
				default:
					r.Skip()
				}
			})
			if c.Length > 0 { // the chunk of an empty file has none
				chunks, sum = append(chunks, c), sum+c.Length
			}
		}
	})
	if err := r.Err(); err != nil {
		return nil, snapshot.Errorf(snapshot.ErrDamaged, "%w", err)
	}
	for _, c := range chunks {
		if c.Length > format.MaxChunk {
			return nil, snapshot.Errorf(snapshot.ErrDamaged, "a chunk of %d bytes", c.Length)
		}
	}
	if sum != size {
		return nil, snapshot.Errorf(snapshot.ErrDamaged, "its chunks have %d bytes together, the file has %d", sum, size)
	}
	return chunks, nil
}
