package pgbackrest

import (
	"context"
	"errors"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/snapview/snapview/snapshot"
	"github.com/snapview/snapview/snapshot/objects"
)

// List returns the backups in the repository, by stanza, oldest first, as their
// stanzas' backup.info has them. A stanza that cannot be read is one Listing
// with the Problem; a wrong passphrase is an error. The store stays open.
//
// opts.Select, if it is not empty, is a stanza, a label or both with a slash
// between them: only those are listed.
func List(ctx context.Context, store objects.Store, opts snapshot.Options) ([]snapshot.Listing, error) {
	r := &repository{store: store, ask: opts.Passphrase}
	stanzas, err := r.stanzas(ctx)
	if err != nil {
		return nil, err
	}
	only, label, _ := strings.Cut(opts.Select, "/")
	if IsLabel(only) {
		only, label = "", only
	}
	var list []snapshot.Listing
	for _, s := range stanzas {
		if only != "" && only != s.name {
			continue
		}
		info, err := r.backupInfo(ctx, s)
		if ctx.Err() != nil || errors.Is(err, snapshot.ErrPassphrase) {
			return nil, err
		}
		if err != nil {
			list = append(list, snapshot.Listing{Ref: store.String(), Kind: snapshot.KindPgBackRest, Label: s.name, Problem: err.Error()})
			continue
		}
		for _, b := range info.backups {
			if label != "" && label != b.Label {
				continue
			}
			l := s.listing(store, info, b, len(stanzas) > 1)
			l.Problem, err = r.problem(ctx, s, info, b)
			if err != nil {
				return nil, err
			}
			list = append(list, l)
		}
	}
	return list, nil
}

func (s stanza) listing(store objects.Store, info *backupInfo, b backup, several bool) snapshot.Listing {
	if !several {
		s.name = "" // a label tells enough
	}
	l := snapshot.Listing{
		Ref: store.String() + "#" + s.selector(b.Label), Kind: snapshot.KindPgBackRest, Label: s.selector(b.Label), Type: b.Type,
		Time: unixTime(b.Stop), Bytes: b.Bytes, StoredBytes: b.Stored,
		PGVersion: info.databases[b.DBID].major(), SystemID: info.databases[b.DBID].SystemID,
		StartLSN: b.StartLSN, StopLSN: b.StopLSN,
	}
	if b.Prior != "" {
		l.Parent = s.selector(b.Prior)
	}
	if isSegment(b.ArchiveStart) {
		if tli, err := strconv.ParseUint(b.ArchiveStart[:8], 16, 32); err == nil {
			l.Timeline = uint32(tli)
		}
	}
	return l
}

// problem says what of a backup is gone.
func (r *repository) problem(ctx context.Context, s stanza, info *backupInfo, b backup) (string, error) {
	ok, err := r.existsInfo(ctx, path.Join(s.backup, b.Label, ManifestName))
	if err != nil {
		return "", err
	}
	if !ok {
		return "its folder or its " + ManifestName + " is gone", nil
	}
	var gone []string
	for _, label := range b.References {
		if !slices.ContainsFunc(info.backups, func(o backup) bool { return o.Label == label }) {
			gone = append(gone, label)
		}
	}
	if len(gone) > 0 {
		return "it uses files of backups that are gone: " + some(gone), nil
	}
	return "", nil
}
