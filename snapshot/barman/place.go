package barman

import (
	"cmp"
	"context"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/snapview/snapview/snapshot"
	"github.com/snapview/snapview/snapshot/objects"
	"github.com/snapview/snapview/snapshot/objects/mounted"
)

const infoName = "backup.info"

// A Place is what a folder is to Barman: a server's folder, one backup of it,
// or a copy of one backup without its server.
type Place struct {
	// Store is where the folder lies. Counter is what its objects count their
	// reads in.
	Store   objects.Store
	Counter *snapshot.Counter

	dir  string // of the server, or of the lone backup, in the store
	ref  string // what a person calls it
	lone bool   // one backup without its server
	id   string // of the backup that the folder is; "" for a server
}

// At tells what a folder of a store is, of which ref is what a person calls it
// and entries what it holds. ok is false if it is nothing of Barman's.
func At(ctx context.Context, store objects.Store, dir, ref string, entries []objects.Entry) (p Place, ok bool) {
	p = Place{Store: store, Counter: &snapshot.Counter{}, dir: dir, ref: strings.TrimSuffix(ref, "/")}
	has := func(name string) bool {
		return slices.ContainsFunc(entries, func(e objects.Entry) bool { return e.Name == name })
	}
	if has("PG_VERSION") {
		return p, false
	}
	if id := path.Base(dir); dataOf(entries) != noData {
		if base := path.Dir(dir); path.Base(base) == "base" && isID(id) {
			server := p
			server.dir, server.ref, server.id = path.Dir(base), above(p.ref), id
			if found, err := server.hasInfo(ctx, []string{id}); found && err == nil {
				return server, true
			}
		}
		p.lone, p.id = true, path.Base(p.ref)
		return p, has(infoName) && isInfo(ctx, store, path.Join(dir, infoName))
	}
	return p, has("base") && p.isServer(ctx)
}

// isServer: some backup has its info. Only the newest are asked.
func (p Place) isServer(ctx context.Context) bool {
	const some = 16
	ids, err := p.ids(ctx)
	if err != nil {
		return false
	}
	slices.Reverse(ids)
	found, err := p.hasInfo(ctx, ids[:min(len(ids), some)])
	return found && err == nil
}

// above takes two levels off a reference.
func above(ref string) string {
	here, query, more := ref, "", false
	if strings.Contains(ref, "://") {
		here, query, more = strings.Cut(ref, "?")
	}
	for range 2 {
		if i := strings.LastIndexByte(here, '/'); i >= 0 {
			here = here[:i]
		}
	}
	if here = cmp.Or(here, "/"); more {
		here += "?" + query
	}
	return here
}

// String names the place as a person would.
func (p Place) String() string { return p.ref }

// refOf is what to open a backup by.
func (p Place) refOf(id string) string {
	if p.lone {
		return p.ref
	}
	return p.ref + "#" + id
}

// kept is a store that is not its reader's to close.
type kept struct{ objects.Store }

func (kept) Close() error { return nil }

// folder opens a folder below the place, which on a host may be a link to
// another disk. It must be closed.
func (p Place) folder(name string, opts snapshot.Options) (objects.Store, error) {
	if host := objects.HostDir(p.Store); host != "" {
		return mounted.OpenLocal(filepath.Join(host, p.dir, name), opts, p.Counter)
	}
	return kept{objects.Sub(p.Store, path.Join(p.dir, name))}, nil
}

// isID: the time of the beginning, as in 20261121T163418.
func isID(s string) bool {
	return len(s) == 15 && s[8] == 'T' && strings.Trim(s, "0123456789T") == ""
}
