package chunks

import (
	"path/filepath"

	"github.com/snapview/snapview/snapshot"
	"github.com/snapview/snapview/snapshot/cache"
)

// OptionsOf returns how much the cache behind a snapshot keeps, and where.
func OptionsOf(opts snapshot.Options) Options {
	o := Options{Notice: opts.Notice, Disk: opts.CacheLimit}
	if o.Disk == 0 {
		o.Disk = snapshot.DefaultCacheLimit
	}
	if dir, err := cache.Dir(opts.CacheDir); err == nil {
		o.Dir = filepath.Join(dir, "chunks") // without one, memory has to do
	}
	return o
}
