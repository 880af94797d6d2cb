package pgbackrest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"strings"

	"github.com/snapview/snapview/snapshot"
	"github.com/snapview/snapview/snapshot/hostdir"
	"github.com/snapview/snapview/snapshot/objects"
)

// Open opens a backup of the repository in store, whose root it is; a stanza's
// backup folder will do, without the archive then. counter has what the store
// reads. The snapshot owns the store, also when Open fails.
//
// opts.Select is a label, the beginning of one, "latest" or nothing, where there
// are several stanzas behind the stanza's name and a slash.
func Open(ctx context.Context, store objects.Store, counter *snapshot.Counter, opts snapshot.Options) (*snapshot.Snapshot, error) {
	o := &opener{
		ctx: ctx, opts: opts,
		repo: &repository{store: store, ask: opts.Passphrase},
		draft: snapshot.Draft{
			Kind: snapshot.KindPgBackRest, Ref: store.String(), Builder: snapshot.NewBuilder(), Counter: counter,
			Tablespaces: map[uint32]string{}, Closers: []io.Closer{store},
		},
	}
	if err := o.open(); err != nil {
		errs := []error{fmt.Errorf("%s: %w", o.draft.Ref, err)}
		for i := len(o.draft.Closers) - 1; i >= 0; i-- {
			errs = append(errs, o.draft.Closers[i].Close())
		}
		return nil, errors.Join(errs...)
	}
	return snapshot.Identify(ctx, o.draft, opts)
}

// opener is the state of one Open.
type opener struct {
	ctx    context.Context
	opts   snapshot.Options
	repo   *repository
	draft  snapshot.Draft
	stanza stanza
	info   *backupInfo // nil if it cannot be read
	m      *manifest
	vault  *vault
}

func (o *opener) open() error {
	label, err := o.choose()
	if err != nil {
		return err
	}
	o.draft.Ref = o.repo.store.String() + "#" + o.stanza.selector(label)
	var key []byte
	if o.info != nil {
		key = o.info.key
	}
	if o.m, err = o.repo.manifest(o.ctx, o.stanza, label, key); err != nil {
		return o.unfinished(label, err)
	}
	o.vault = newVault(o.ctx, o.repo.store, o.opts)
	o.draft.Closers = []io.Closer{o.vault} // which closes the store
	o.draft.EndLSN, o.draft.StopTime = o.m.stopLSN, unixTime(o.m.stop)
	o.report()
	if err := o.build(); err != nil {
		return err
	}
	if err := o.checkHolders(); err != nil {
		return err
	}
	return o.addWAL()
}

// choose finds the stanza and the label.
func (o *opener) choose() (label string, err error) {
	name, rest, both := strings.Cut(o.opts.Select, "/")
	if both {
		if !isStanza(name) {
			return "", snapshot.Errorf(snapshot.ErrNotABackup, "%.80q is not the name of a stanza", name)
		}
		o.stanza = stanzaAt(name)
	} else {
		list, err := o.repo.stanzas(o.ctx)
		if err != nil {
			return "", err
		}
		rest = name
		var names []string
		for _, s := range list {
			names = append(names, s.name)
			if s.name == name && name != "" {
				list, rest = []stanza{s}, ""
				break
			}
		}
		if len(list) > 1 {
			return "", snapshot.Errorf(snapshot.ErrNotABackup, "the repository has several stanzas: name one, as in #%s/latest; there are %s", names[0], some(names))
		}
		o.stanza = list[0]
	}
	o.info, err = o.repo.backupInfo(o.ctx, o.stanza)
	if err == nil {
		o.note(path.Join(o.stanza.backup, InfoName), o.info.why)
		return o.info.choose(rest)
	}
	if IsLabel(rest) && (errors.Is(err, snapshot.ErrDamaged) || errors.Is(err, fs.ErrNotExist)) {
		// The manifest will do, if it is not encrypted.
		o.info = nil
		o.draft.Checks = append(o.draft.Checks, snapshot.Check{
			Name: "repository", Outcome: snapshot.Warn,
			Detail: fmt.Sprintf("the list of backups cannot be read: %v", err),
		})
		return rest, nil
	}
	if both && errors.Is(err, fs.ErrNotExist) {
		return "", snapshot.Errorf(snapshot.ErrNotABackup, "no stanza %s has backups in the repository", name)
	}
	return "", err
}

// unfinished explains a manifest that is not there.
func (o *opener) unfinished(label string, err error) error {
	if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return snapshot.Errorf(snapshot.ErrDamaged, "%s is not in the repository: the backup has expired or was deleted",
		path.Join(o.stanza.backup, label, ManifestName))
}

// note says that a copy was taken for an info file.
func (o *opener) note(name string, why error) {
	if why != nil {
		o.draft.Checks = append(o.draft.Checks, snapshot.Check{
			Name: "repository", Outcome: snapshot.Warn,
			Detail: fmt.Sprintf("%s%s was taken for %s: %v", name, copySuffix, name, why),
		})
	}
}

// report says what the manifest says of the backup.
func (o *opener) report() {
	m := o.m
	add := func(name string, outcome snapshot.Outcome, format string, args ...any) {
		o.draft.Checks = append(o.draft.Checks, snapshot.Check{Name: name, Outcome: outcome, Detail: fmt.Sprintf(format, args...)})
	}
	name := path.Join(o.stanza.backup, m.label, ManifestName)
	o.note(name, m.why)
	add("repository", snapshot.OK, "%s backup %s, made by pgBackRest %s; the manifest matches its checksum, %d files", m.kind, m.label, m.tool, len(m.files))
	if o.info != nil {
		if _, ok := o.info.find(m.label); !ok {
			add("repository", snapshot.Warn, "%s does not list %s: was it finished?", InfoName, m.label)
		}
	}
	if m.bad > 0 {
		add("page checksums", snapshot.Warn, "%d files had pages with wrong checksums when the backup was made: %s", m.bad, some(m.badPages))
	}
}

// checkHolders refuses a backup whose files lie in another one that is gone.
func (o *opener) checkHolders() error {
	var gone []string
	needed := o.m.labels[1:]
	for _, label := range needed {
		ok, err := o.repo.existsInfo(o.ctx, path.Join(o.stanza.backup, label, ManifestName))
		if err != nil {
			return err
		}
		if !ok {
			gone = append(gone, label)
		}
	}
	switch {
	case len(gone) > 0:
		o.draft.Checks = append(o.draft.Checks, snapshot.Refusal(snapshot.ErrDamaged, "chain",
			"files of this backup lie in backups that are gone: "+some(gone),
			"open another backup; pgBackRest cannot restore this one either"))
	case len(needed) > 0:
		o.draft.Checks = append(o.draft.Checks, snapshot.Check{
			Name: "chain", Outcome: snapshot.OK,
			Detail: fmt.Sprintf("files are taken from %d backups, all there: %s", len(needed)+1, some(append([]string{o.m.label}, needed...))),
		})
	}
	return nil
}

// hostWAL reads the directory that the options name.
func (o *opener) hostWAL() error {
	if o.opts.WALDir == "" {
		return nil
	}
	pool := hostdir.NewPool(o.opts.MaxOpenFiles, o.draft.Counter)
	o.draft.Closers = append(o.draft.Closers, pool)
	files, err := hostdir.WAL(pool, o.opts.WALDir)
	if err != nil {
		return fmt.Errorf("WAL directory: %w", err)
	}
	for name, f := range files {
		o.draft.WAL[name] = f
	}
	return nil
}
