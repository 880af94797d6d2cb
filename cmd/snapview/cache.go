package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/snapview/snapview/snapshot"
	"github.com/snapview/snapview/snapshot/cache"
)

func (a *app) cacheCommand() *cobra.Command {
	f := &openFlags{}
	c := &cobra.Command{
		Use:   "cache",
		Short: "What is kept of compressed and remote backups; cache clear empties it",
		Long: `Lists what is kept so that compressed backups open at once, used last first, and
how much was fetched from object stores. What was used least recently goes by
itself when the cache is larger than --cache-limit.`,
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error { return a.listCache(f) },
	}
	clear := &cobra.Command{
		Use:   "clear",
		Short: "Remove everything that is kept",
		Long: `Removes everything that is kept. It is made or fetched again when it is needed;
sessions that are open go on.`,
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error { return a.clearCache(f) },
	}
	f.cacheFlags(c)
	f.cacheFlags(clear)
	c.AddCommand(clear)
	return c
}

// openCache opens the cache that the flags name.
func (f *openFlags) openCache() (*cache.Store, error) {
	opts, err := f.snapshotOptions()
	if err != nil {
		return nil, err
	}
	if opts.CacheLimit == 0 {
		opts.CacheLimit = snapshot.DefaultCacheLimit
	}
	return cache.Open(opts.CacheDir, opts.CacheLimit)
}

func (a *app) listCache(f *openFlags) error {
	store, err := f.openCache()
	if err != nil {
		return err
	}
	entries, err := store.List()
	if err != nil {
		return err
	}
	_, chunks, err := fetched(store, nil)
	if err != nil {
		return err
	}
	if a.json {
		for _, e := range entries {
			if err := printJSON(a.out, map[string]any{
				"object": e.About.Object, "what": e.About.What, "bytes": e.Size, "object_bytes": e.About.Bytes,
				"data_bytes": e.About.Data, "used": e.Used.UTC().Format(time.RFC3339), "name": e.Name,
			}); err != nil {
				return err
			}
		}
		return printJSON(a.out, map[string]any{"what": "fetched from object stores", "bytes": chunks})
	}
	var rows [][]string
	var sum int64
	for _, e := range entries {
		object, what := e.About.Object, e.About.What
		if object == "" {
			object, what = "-", "part of a repository"
		}
		rows = append(rows, []string{size(e.Size), ago(e.Used), what, object, sizeOrNot(e.About.Data)})
		sum += e.Size
	}
	if len(rows) > 0 {
		if err := table(a.out, []string{"SIZE", "USED", "WHAT", "OF", "WHICH HOLDS"}, rows); err != nil {
			return err
		}
	}
	_, err = fmt.Fprintf(a.out, "%s in %d entries, %s fetched from object stores; at most %s of each are kept, in %s\n",
		size(sum), len(entries), size(chunks), size(store.Limit()), store.Dir())
	return err
}

func (a *app) clearCache(f *openFlags) error {
	store, err := f.openCache()
	if err != nil {
		return err
	}
	n, bytes, err := store.Clear()
	files, more, err2 := fetched(store, os.Remove)
	if err := errors.Join(err, err2); err != nil {
		return err
	}
	if a.json {
		return printJSON(a.out, map[string]any{"removed": n + files, "bytes": bytes + more})
	}
	_, err = fmt.Fprintf(a.out, "removed %s\n", size(bytes+more))
	return err
}

// fetched counts the files that hold what was fetched from object stores, and
// calls each for them if it is not nil.
func fetched(store *cache.Store, each func(name string) error) (files int, bytes int64, err error) {
	err = filepath.WalkDir(filepath.Join(store.Dir(), "chunks"), func(name string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			var info fs.FileInfo
			if info, err = d.Info(); err == nil {
				files++
				bytes += info.Size()
				if each != nil {
					err = each(name)
				}
			}
		}
		if errors.Is(err, fs.ErrNotExist) {
			err = nil // removed meanwhile
		}
		return err
	})
	return files, bytes, err
}
