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

// scan reads the headers of an archive and its parts. The manifest has its
// files below prefix.
func (b *builder) scan(a *Archive, prefix string) ([]member, error) {
	all, err := b.scanOne(a, prefix)
	for i := range a.Parts {
		if err != nil {
			break
		}
		var more []member
		more, err = b.scanOne(&a.Parts[i], prefix)
		all = append(all, more...)
	}
	return all, err
}

func (b *builder) scanOne(a *Archive, prefix string) ([]member, error) {
	list, res, err := a.Members, tarindex.Result{EndMark: true}, error(nil)
	if list == nil {
		list, res, err = b.members(*a, prefix)
	}
	members := make([]member, 0, len(list))
	for i := range list {
		if !utf8.ValidString(list[i].Name) {
			b.info("files", "%s: member %q left out: its name is not UTF-8", a.Name, list[i].Name)
			continue
		}
		members = append(members, member{&list[i], a})
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
