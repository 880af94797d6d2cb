package tarset

import (
	"io"
	"strings"

	"github.com/snapview/snapview/snapshot"
	"github.com/snapview/snapview/snapshot/objects"
	"github.com/snapview/snapview/snapshot/tarindex"
)

const (
	// guideWhole is up to which size a manifest is read for guidance, bytes.
	guideWhole = 16 << 20
	// guideAhead is for how many files headers are fetched beforehand.
	guideAhead = 16
	// guideFrom is from which size on a file is jumped over; what comes
	// after smaller ones is read ahead anyway.
	guideFrom = 128 << 10
	// guideSpan is how much is fetched where a header should be: directories
	// have headers too, which the manifest does not tell of.
	guideSpan = 8 * 512
	// guideTell is how many members lie between two reports of progress.
	guideTell = 512
)

// A sent is a file in the order in which pg_basebackup sent it, which is that
// of the manifest and of the tars.
type sent struct {
	name string
	size int64
}

// readOrder reads the order from the manifest, if the set's tars are far away.
// A manifest that cannot be read gives none; preflight reports it.
func (b *builder) readOrder(set Set) {
	if _, _, ok := b.keptIndex(set.Base); !ok || set.Manifest == nil || set.ManifestSize > guideWhole {
		return
	}
	_, err := snapshot.ReadManifest(io.NewSectionReader(set.Manifest, 0, set.ManifestSize), func(f snapshot.ManifestFile) error {
		b.sent = append(b.sent, sent{f.Path, f.Size})
		return b.ctx.Err()
	})
	if err != nil {
		b.sent = nil
	}
}

// A guide has headers fetched before the scan comes to them: where they lie
// follows from the sizes of the files before them. It guesses; the scan reads
// every header where it really is.
type guide struct {
	data     objects.Object // nil: it cannot be told
	files    []sent         // of the archive
	at       map[string]int // by name
	asked    int            // files whose headers were asked for
	progress func(snapshot.Progress)
	archive  Archive
	members  int
}

// guide returns that of an archive, whose files the manifest has below prefix.
func (b *builder) guide(a Archive, prefix string) *guide {
	g := &guide{archive: a, at: map[string]int{}, progress: b.opts.Progress}
	g.data, _ = a.Data.(objects.Object)
	for _, s := range b.sent {
		if name, ok := strings.CutPrefix(s.name, prefix); ok && (prefix != "" || !strings.HasPrefix(name, "pg_tblspc/")) {
			g.at[name] = len(g.files)
			g.files = append(g.files, sent{name, s.size})
		}
	}
	return g
}

// seen is told of each member.
func (g *guide) seen(m *tarindex.Member) {
	if g.members++; g.progress != nil && g.members%guideTell == 0 {
		g.progress(snapshot.Progress{Object: g.archive.Name, Done: m.PhysicalOrder(), Total: g.archive.Size})
	}
	i, ok := g.at[m.Name]
	if !ok || g.data == nil || m.Type != tarindex.File || len(m.Segments) != 1 {
		return
	}
	next := m.PhysicalOrder() + blocks(m.Size)
	size := m.Size
	for j := i + 1; j < min(i+1+guideAhead, len(g.files)) && next < g.archive.Size; j++ {
		if j > g.asked {
			g.asked = j
			if size >= guideFrom {
				g.data.Prefetch(next, guideSpan)
			}
		}
		size = g.files[j].size
		next += 512 + blocks(size)
	}
}

// blocks is what a file takes in a tar.
func blocks(size int64) int64 { return (size + 511) / 512 * 512 }
