package ext4_test

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/snapview/snapview/ext4"
)

// BenchmarkLayout1TB lays out 1,000 segments of 1 GiB and 20,000 small files.
// The tree is in memory: this is the cost of the layout itself. What is to be
// reached is 0.5 s and 64 MB; held-MB is what the image keeps, total-MB
// what was allocated on the way, of which the peak is a part.
func BenchmarkLayout1TB(b *testing.B) {
	tree := newSynth(terabyte())
	benchmarkLayout(b, func() *ext4.Image { return newImage(b, tree, ext4.Options{}) })
}

// BenchmarkLayout20000Files lays out 20,000 files of a real directory.
func BenchmarkLayout20000Files(b *testing.B) {
	dir := b.TempDir()
	for i := range 20_000 {
		sub := filepath.Join(dir, fmt.Sprint(i/1000))
		if i%1000 == 0 {
			if err := os.Mkdir(sub, 0o700); err != nil {
				b.Fatal(err)
			}
		}
		if err := os.WriteFile(filepath.Join(sub, fmt.Sprint(i)), []byte("x"), 0o600); err != nil {
			b.Fatal(err)
		}
	}
	tree := os.DirFS(dir)
	benchmarkLayout(b, func() *ext4.Image { return newImage(b, tree, ext4.Options{}) })
}

func benchmarkLayout(b *testing.B, layOut func() *ext4.Image) {
	var before, after, later runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	m := layOut()
	runtime.ReadMemStats(&after)
	runtime.GC()
	runtime.ReadMemStats(&later)
	runtime.KeepAlive(m)
	for b.Loop() {
		m.Close()
		m = layOut()
	}
	b.ReportMetric(float64(after.TotalAlloc-before.TotalAlloc)/1e6, "total-MB")
	b.ReportMetric(float64(int64(later.HeapAlloc)-int64(before.HeapAlloc))/1e6, "held-MB")
}

// BenchmarkReadAt measures what the image adds to a read of a file in memory.
func BenchmarkReadAt(b *testing.B) {
	m := newImage(b, newSynth(terabyte()), ext4.Options{})
	l := m.Layout()
	for _, size := range []int{8 << 10, 1 << 20} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			p := make([]byte, size)
			b.SetBytes(int64(size))
			b.ReportAllocs()
			off := int64(0)
			for b.Loop() {
				if _, err := m.ReadAt(p, l.MetadataBytes+off); err != nil {
					b.Fatal(err)
				}
				off = (off + 1<<30 + int64(size)) % (100 << 30) &^ 4095 // 100 files: they stay open
			}
		})
	}
}
