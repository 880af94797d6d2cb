package lz4frame

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/snapview/snapview/snapshot/snapshottest"
	"github.com/snapview/snapview/snapshot/spans/spanstest"
)

// sample is data like a table's, with references that reach far back.
func sample(n int) []byte {
	rnd := rand.New(rand.NewPCG(5, uint64(n)))
	var b []byte
	for len(b) < n {
		if len(b) > 60_000 && rnd.IntN(3) == 0 {
			at := len(b) - 1 - rnd.IntN(60_000)
			b = append(b, b[at:min(len(b), at+300)]...)
		}
		b = fmt.Appendf(b, "row %d of a table, %x", len(b), rnd.Uint64())
		if rnd.IntN(200) == 0 {
			b = append(b, make([]byte, 5000)...)
		}
	}
	b = b[:n]
	if far := b[n/2:]; len(far) > 200_000 { // matches as far back as there are any
		for i := range far[:65535] {
			far[i] = byte(rnd.Uint32())
		}
		for i := 65535; i < len(far); i++ {
			far[i] = far[i-65535]
		}
	}
	return b
}

// packings are frames that the lz4 program makes.
func packings(t testing.TB, data []byte) map[string][]byte {
	t.Helper()
	program := snapshottest.Tool(t, "lz4")
	made := map[string][]byte{}
	pack := func(args string) []byte {
		c := exec.Command(program, append([]string{"-q", "-c"}, strings.Fields(args)...)...)
		c.Stdin = bytes.NewReader(data)
		out, err := c.Output()
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	for _, args := range []string{"-1", "-9", "-B4", "-B4 -BD", "-B5 -BD -BX", "-B7 -BX", "-B6 --no-frame-crc"} {
		made[args] = pack(args)
	}
	skippable := binary.LittleEndian.AppendUint32(binary.LittleEndian.AppendUint32(nil, skippableMagic+3), 5)
	skippable = append(skippable, "12345"...)
	half := len(data) / 2
	rest := data
	data = rest[:half]
	several := pack("-B4 -BD")
	data = nil
	several = append(append(several, skippable...), pack("-1")...)
	data = rest[half:]
	several = append(append(several, pack("-B5")...), skippable...)
	made["several frames"] = several
	return made
}

var format = spanstest.Format{First: First, Walk: Walk, Span: Span, Errors: []error{ErrCorrupt, ErrUnsupported}, Window: window}

func TestAgainstTheProgram(t *testing.T) {
	for _, n := range []int{0, 1, 64 << 10, 3_000_001} {
		want := sample(n)
		for how, packed := range packings(t, want) {
			t.Run(fmt.Sprint(n, " bytes, ", how), func(t *testing.T) { format.Reads(t, packed, want, 40, 80_000) })
		}
	}
}

// What pg_basebackup --compress=server-lz4 wrote.
func TestFixture(t *testing.T) {
	packed, err := os.ReadFile(snapshottest.Fixture(t, "pg15/16384.tar.lz4"))
	if err != nil {
		t.Fatal(err)
	}
	sum, err := os.ReadFile(snapshottest.Fixture(t, "pg15/16384.tar.sha256"))
	if err != nil {
		t.Fatal(err)
	}
	_, got, err := format.Index(t, bytes.NewReader(packed))
	if h := sha256.Sum256(got); err != nil || !strings.HasPrefix(string(sum), hex.EncodeToString(h[:])) {
		t.Errorf("%d bytes, %v: not what %q says", len(got), err, sum)
	}
}

func TestWalk_NoticesDamage(t *testing.T) {
	want := sample(5000)
	format.NoticesDamage(t, packings(t, want)["-B5 -BD -BX"], want, 11)
}

func TestWalk_InPieces(t *testing.T) {
	want := sample(300_000)
	format.InPieces(t, packings(t, want)["several frames"], want)
}

// The content's checksum is compared where blocks have none.
func TestWalk_ComparesTheContent(t *testing.T) {
	packed := packings(t, sample(200_000))["-1"]
	bad := bytes.Clone(packed)
	bad[len(bad)-1] ^= 1
	if _, _, err := format.Index(t, bytes.NewReader(bad)); !errors.Is(err, ErrCorrupt) || !strings.Contains(err.Error(), "checksum") {
		t.Errorf("err = %v", err)
	}
}

// Two values of the specification's test, and one that was computed in pieces.
func TestChecksum(t *testing.T) {
	for text, want := range map[string]uint32{"": 0x02cc5d05, "Nobody inspects the spammish repetition": 0xe2293b2f} {
		if got := checksum([]byte(text)); got != want {
			t.Errorf("%q: %08x, want %08x", text, got, want)
		}
	}
	data := sample(1000)
	var c content
	for rest := data; len(rest) > 0; {
		n := min(len(rest), 1+len(rest)%23)
		c.add(rest[:n])
		rest = rest[n:]
	}
	if c.sum() != checksum(data) {
		t.Error("in pieces it is another")
	}
}

func FuzzWalk(f *testing.F) {
	for _, packed := range packings(f, sample(3000)) {
		f.Add(packed)
	}
	f.Fuzz(func(t *testing.T, b []byte) { _, _ = format.FuzzWalk(t, b) })
}

// No window, restart or length may do harm.
func FuzzSpan(f *testing.F) {
	packed := packings(f, sample(30_000))["-B4 -BD"]
	f.Add(packed, int64(0), int64(-1), int64(8000), 4000, []byte(nil))
	f.Add(packed, int64(11), int64(0), int64(8000), 4000, make([]byte, 300))
	f.Fuzz(format.FuzzSpan)
}
