package snapshot

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"strings"
)

// manifestWhole is up to which size a manifest is read whole when a snapshot is
// opened: about 100,000 files, a quarter of a second. Of a larger one only the
// end with the WAL ranges is read.
const (
	manifestWhole = 16 << 20
	manifestTail  = 64 << 10
)

// readManifest compares backup_manifest, if there is one, with the names and
// sizes of the files that are there. Package verify compares their contents.
func (r *reader) readManifest(id *Identity) error {
	f, err := r.s.Tree.Open("data/backup_manifest")
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if info.Size() == 0 {
		r.add(Check{Name: "manifest", Outcome: Warn, Detail: "backup_manifest is empty"})
		return nil
	}
	if info.Size() <= manifestWhole {
		var missing, wrong []string
		last := id.StartTime
		r.manifest, err = ReadManifest(f, func(mf ManifestFile) error {
			fi, err := r.s.Tree.Stat(path.Join("data", mf.Path))
			if mf.ModTime.After(last) {
				last = mf.ModTime
			}
			switch {
			case err != nil && r.inMissingTablespace(mf.Path): // has a check of its own
			case err != nil:
				missing = append(missing, mf.Path)
			case fi.Size() != mf.Size && !r.changesLegally(mf.Path):
				wrong = append(wrong, fmt.Sprintf("%s (%d bytes, recorded %d)", mf.Path, fi.Size(), mf.Size))
			}
			return r.ctx.Err()
		})
		if err == nil {
			r.checkManifestFiles(missing, wrong)
		}
		if id.StopTime.IsZero() {
			id.StopTime = last // the last file to change was pg_control, which is copied last
		}
	} else {
		r.manifest, err = readManifestEnd(f.(io.ReaderAt), info.Size())
		if err == nil {
			r.add(Check{
				Name: "manifest", Outcome: Info,
				Detail: fmt.Sprintf("backup_manifest has %d MiB: only its WAL ranges were read, not its list of files", info.Size()>>20),
				Remedy: "compare the files with it by snapview inspect --verify",
			})
		}
	}
	if err != nil {
		if r.ctx.Err() != nil || !errors.Is(err, ErrDamaged) {
			return err
		}
		r.manifest = nil
		r.add(Check{
			Name: "manifest", Outcome: Refuse, Detail: err.Error(), class: ErrDamaged,
			Remedy: "take the backup again, or remove backup_manifest from a copy of it if the data is known to be good",
		})
		return nil
	}
	if r.manifest.SystemID != 0 && r.manifest.SystemID != id.SystemID {
		r.add(Check{
			Name: "manifest", Outcome: Refuse, class: ErrDamaged,
			Detail: fmt.Sprintf("backup_manifest is of system %d, pg_control of system %d: files of two clusters are mixed", r.manifest.SystemID, id.SystemID),
		})
	}
	for _, w := range r.manifest.WALRanges {
		if w.End > id.EndLSN {
			id.EndLSN = w.End
		}
	}
	return nil
}

func (r *reader) inMissingTablespace(name string) bool {
	parts := strings.SplitN(name, "/", 3)
	if len(parts) < 3 || parts[0] != "pg_tblspc" {
		return false
	}
	_, err := r.s.Tree.Stat(path.Join("data", parts[0], parts[1]))
	if oid, ok := TablespaceOID(path.Join(parts[:2]...)); ok && err != nil {
		r.lost[oid] = true
	}
	return err != nil
}

// changesLegally: a person may edit these in a backup without harm to data,
// and they are not used.
func (r *reader) changesLegally(name string) bool {
	return strings.HasSuffix(name, ".conf") && !strings.Contains(name, "/")
}

// checkManifestFiles says how the files that are there compare with those that
// the manifest lists.
func (r *reader) checkManifestFiles(missing, wrong []string) {
	if len(missing)+len(wrong) == 0 {
		r.add(Check{
			Name: "manifest", Outcome: OK,
			Detail: fmt.Sprintf("%d files, all there with the recorded sizes; the manifest matches its checksum", r.manifest.Files),
		})
		return
	}
	var parts []string
	if len(missing) > 0 {
		parts = append(parts, fmt.Sprintf("%d missing: %s", len(missing), some(missing)))
	}
	if len(wrong) > 0 {
		parts = append(parts, fmt.Sprintf("%d of another size: %s", len(wrong), some(wrong)))
	}
	r.add(Check{
		Name: "manifest", Outcome: Refuse, class: ErrDamaged,
		Detail: "of the files that backup_manifest lists: " + strings.Join(parts, "; "),
		Remedy: "compare with pg_verifybackup; the copy is incomplete or was changed after the backup",
	})
}

// readManifestEnd reads the WAL ranges from the end of a large manifest,
// without verifying its checksum.
func readManifestEnd(f io.ReaderAt, size int64) (*Manifest, error) {
	b := make([]byte, manifestTail)
	if _, err := f.ReadAt(b, size-manifestTail); err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	_, tail, ok := strings.Cut(string(b), "\"WAL-Ranges\": [\n")
	tail, _, ok2 := strings.Cut(tail, "\n],")
	if !ok || !ok2 {
		return nil, Errorf(ErrDamaged, "backup_manifest: no WAL-Ranges near its end: it is cut short")
	}
	m := &Manifest{}
	for line := range strings.Lines(tail) {
		w, err := parseWALRange([]byte(strings.TrimSuffix(strings.TrimSpace(line), ",")))
		if err != nil {
			return nil, Errorf(ErrDamaged, "backup_manifest: WAL range: %v", err)
		}
		m.WALRanges = append(m.WALRanges, w)
	}
	return m, nil
}
