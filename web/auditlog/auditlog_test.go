package auditlog

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/snapview/snapview/testneeds"
)

type record struct {
	Kind    string
	N       int
	Text    string
	Records int64
	Error   string
}

// read returns a log's records, and how many lines are none.
func read(t *testing.T, name string) (records []record, broken int) {
	t.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	for line := range bytes.Lines(data) {
		var r record
		if len(bytes.TrimSpace(line)) == 0 {
			continue
		}
		if json.Unmarshal(line, &r) != nil || line[len(line)-1] != '\n' {
			broken++
			continue
		}
		records = append(records, r)
	}
	return records, broken
}

// complaints are what a log said.
type complaints []string

func (c *complaints) add(err error) { *c = append(*c, err.Error()) }

// fill appends records until many were lost, and returns how many were written.
func fill(t *testing.T, l *Log, most int) (written int) {
	t.Helper()
	for n := range most {
		l.Append(record{N: n, Text: strings.Repeat("x", 700)})
	}
	lost, why := l.State()
	if lost == 0 || why == nil || lost >= int64(most) {
		t.Fatalf("%d of %d lost: %v", lost, most, why)
	}
	return most - int(lost)
}

// A disk that is full in the middle of a line leaves whole lines, one complaint,
// and, when there is room again, a line that says what is missing.
func TestLog_OnAFullDisk(t *testing.T) {
	dir := t.TempDir()
	if err := syscall.Mount("snapview-test", dir, "tmpfs", 0, "size=64k"); err != nil {
		testneeds.Missing(t, "root, to mount a tmpfs: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
	name, ballast := filepath.Join(dir, "audit"), filepath.Join(dir, "ballast")
	if err := os.WriteFile(ballast, make([]byte, 32<<10), 0o600); err != nil {
		t.Fatal(err)
	}
	var said complaints
	l, err := Open(name, said.add)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() }) // before the unmount, whatever fails
	written := fill(t, l, 100)
	if have, broken := read(t, name); len(have) != written || broken > 0 {
		t.Errorf("%d lines and %d broken ones, %d were written", len(have), broken, written)
	}
	if len(said) != 1 || !strings.Contains(said[0], "no space left") || !strings.Contains(said[0], "statements go on") {
		t.Errorf("said %q", said)
	}
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	l.Append(record{Text: "after"})
	have, broken := read(t, name)
	if broken > 0 || len(have) != written+2 {
		t.Fatalf("%d lines and %d broken ones, wanted %d", len(have), broken, written+2)
	}
	if gap := have[written]; gap.Kind != "lost" || gap.Records != int64(100-written) || !strings.Contains(gap.Error, "no space left") || have[written+1].Text != "after" {
		t.Errorf("%+v", have[written:])
	}
	if lost, why := l.State(); lost != int64(100-written) || why != nil || len(said) != 2 || !strings.Contains(said[1], "written again") {
		t.Errorf("%d lost, %v; said %q", lost, why, said)
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
}

// full is a file that takes a number of bytes, and cannot be cut off.
type full struct {
	*os.File
	room int
}

func (f *full) Write(p []byte) (int, error) {
	n, err := f.File.Write(p[:min(len(p), f.room)])
	if f.room -= n; err == nil && n < len(p) {
		err = syscall.ENOSPC
	}
	return n, err
}

func (f *full) Truncate(int64) error { return errors.New("appends only") }

// Where nothing can be cut off, a broken line stays by itself, of this process and
// of one that died; complaints come once a minute.
func TestLog_ThatCannotBeCutOff(t *testing.T) {
	name := filepath.Join(t.TempDir(), "audit")
	if err := os.WriteFile(name, []byte(`{"n":1,"te`), 0o600); err != nil {
		t.Fatal(err)
	}
	var said complaints
	l, err := Open(name, said.add)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	l.now = func() time.Time { return now }
	f := &full{l.file.(*os.File), 50}
	l.file = f
	l.Append(record{N: 2, Text: "a text that is too long for what is left of the disk"})
	for range 120 {
		now = now.Add(time.Second)
		l.Append(record{N: 3})
	}
	if len(said) != 3 {
		t.Errorf("said %q", said)
	}
	f.room = 1000
	l.Append(record{N: 4})
	have, broken := read(t, name)
	if broken != 2 || len(have) != 2 || have[0].Kind != "lost" || have[0].Records != 121 || have[1].N != 4 {
		t.Errorf("%d broken lines and %+v", broken, have)
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
}

// Two processes may share a file.
func TestLog_IsShared(t *testing.T) {
	name := filepath.Join(t.TempDir(), "audit")
	var wg sync.WaitGroup
	for range 2 {
		l, err := Open(name, func(err error) { t.Error(err) })
		if err != nil {
			t.Fatal(err)
		}
		for range 2 {
			wg.Go(func() {
				for n := range 200 {
					l.Append(record{N: n, Text: strings.Repeat("x", n)})
				}
			})
		}
		defer l.Close()
	}
	wg.Wait()
	if have, broken := read(t, name); len(have) != 800 || broken > 0 {
		t.Errorf("%d lines, %d broken ones", len(have), broken)
	}
}
