package tarindex

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/gob"
	"errors"
	"fmt"
	"io"
	"io/fs"

	"github.com/klauspost/compress/zstd"

	"github.com/snapview/snapview/snapshot/cache"
)

// StoredPurpose is part of the keys of stored indexes; a change of what is
// stored needs another.
const StoredPurpose = "snapview members of a tar, 1"

// maxStored bounds what a stored index may take in memory while it is decoded,
// bytes. A million members are about 200 MB.
const maxStored = 4 << 30

// stored is what Scan found, as it is kept: the SHA-256 of what follows, then
// this as gob, compressed with Zstandard.
type stored struct {
	Members []Member
	Result  Result
}

// ScanStored returns the members of an archive from the cache if they are
// there, and else scans it and keeps them. key must tell the archive from any
// other; seen, if not nil, is told of each member while it scans. See Scan for
// the rest. An index that cannot be kept is no error.
func ScanStored(ctx context.Context, c *cache.Store, key cache.Key, r io.ReaderAt, size int64, name string, seen func(*Member)) ([]Member, Result, error) {
	if s, err := load(c, key); err == nil {
		return s.Members, s.Result, nil
	} else if !errors.Is(err, fs.ErrNotExist) {
		_ = c.Remove(key) // damaged: made again
	}
	var s stored
	var err error
	s.Result, err = Scan(ctx, r, size, name, func(m Member) error {
		if seen != nil {
			seen(&m)
		}
		s.Members = append(s.Members, m)
		return nil
	})
	if err == nil {
		_ = s.keep(c, key) // the next open takes longer without
	}
	return s.Members, s.Result, err
}

func load(c *cache.Store, key cache.Key) (s stored, err error) {
	f, err := c.Get(key)
	if err != nil {
		return s, err
	}
	defer f.Close()
	b, err := io.ReadAll(f)
	if err != nil {
		return s, err
	}
	if len(b) < sha256.Size || sha256.Sum256(b[sha256.Size:]) != [sha256.Size]byte(b) {
		return s, fmt.Errorf("%s is damaged", f.Name())
	}
	z, err := zstd.NewReader(bytes.NewReader(b[sha256.Size:]), zstd.WithDecoderMaxMemory(maxStored), zstd.WithDecoderConcurrency(1))
	if err != nil {
		return s, err
	}
	defer z.Close()
	err = gob.NewDecoder(z).Decode(&s)
	return s, err
}

func (s *stored) keep(c *cache.Store, key cache.Key) error {
	var b bytes.Buffer
	z, err := zstd.NewWriter(&b, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1))
	if err != nil {
		return err
	}
	if err := errors.Join(gob.NewEncoder(z).Encode(s), z.Close()); err != nil {
		return err
	}
	w, err := c.Create(key)
	if err != nil {
		return err
	}
	hash := sha256.Sum256(b.Bytes())
	if _, err := w.Write(append(hash[:], b.Bytes()...)); err != nil {
		return errors.Join(err, w.Abort())
	}
	f, err := w.Commit()
	if err != nil {
		return err
	}
	return f.Close()
}
