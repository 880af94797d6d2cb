package tarset

import (
	"crypto/sha256"
	"fmt"
	"unicode/utf8"

	"github.com/snapview/snapview/snapshot"
	"github.com/snapview/snapview/snapshot/cache"
	"github.com/snapview/snapview/snapshot/objects"
	"github.com/snapview/snapview/snapshot/tarindex"
)

// scan reads an archive's headers. The manifest has its files below prefix.
func (b *builder) scan(a Archive, prefix string) ([]tarindex.Member, error) {
	if a.Members != nil {
		return a.Members, nil
	}
	all, res, err := b.members(a, prefix)
	var members []tarindex.Member
	for _, m := range all {
		if !utf8.ValidString(m.Name) {
			b.info("files", "%s: member %q left out: its name is not UTF-8", a.Name, m.Name)
			continue
		}
		members = append(members, m)
	}
	if err == nil && !res.EndMark {
		b.draft.Checks = append(b.draft.Checks, snapshot.Check{
			Name: "archive", Outcome: snapshot.Warn,
			Detail: fmt.Sprintf("%s has no end mark: it may be cut short between two members", a.Name),
		})
	}
	return members, err
}

// members finds an archive's members, in the cache if scanning it takes a
// request over the network for each and its version is known.
func (b *builder) members(a Archive, prefix string) (list []tarindex.Member, res tarindex.Result, err error) {
	if c, key, ok := b.keptIndex(a); ok {
		g := b.guide(a, prefix)
		return tarindex.ScanStored(b.ctx, c, key, a.Data, a.Size, a.Name, g.seen)
	}
	res, err = tarindex.Scan(b.ctx, a.Data, a.Size, a.Name, func(m tarindex.Member) error {
		list = append(list, m)
		return nil
	})
	return list, res, err
}

// keptIndex returns where the index of an archive is kept, if it is.
func (b *builder) keptIndex(a Archive) (c *cache.Store, key cache.Key, ok bool) {
	v, ok := a.Data.(objects.Versioned)
	if !ok {
		return nil, key, false
	}
	version, ok := v.Version()
	if !ok {
		return nil, key, false
	}
	limit := b.opts.CacheLimit
	if limit == 0 {
		limit = snapshot.DefaultCacheLimit
	}
	c, err := cache.Open(b.opts.CacheDir, limit)
	return c, sha256.Sum256(append([]byte(tarindex.StoredPurpose), version[:]...)), err == nil
}
