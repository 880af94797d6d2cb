package nbdserver

import (
	"io"
	"net"
	"testing"
	"time"

	"github.com/pojntfx/go-nbd/pkg/protocol"

	"github.com/snapview/snapview/block"
)

// feed sends a stream to a server and returns when the server is through with
// it. The oracle is that this happens, without a panic, a leak (see TestMain)
// or more memory than the budget.
func feed(t *testing.T, stream []byte) {
	s, err := New(Options{HandshakeTimeout: patience, TransferTimeout: patience})
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range []Export{{Device: block.NewMemory(1 << 20)}, {Name: "ro", Device: block.NewMemory(4096), ReadOnly: true}} {
		if err := s.AddExport(e); err != nil {
			t.Fatal(err)
		}
	}
	here, there := net.Pipe()
	here.SetDeadline(time.Now().Add(patience))
	done := make(chan struct{})
	go func() {
		s.ServeConn(there) //nolint:errcheck // any error is fine
		close(done)
	}()
	go io.Copy(io.Discard, here) //nolint:errcheck
	here.Write(stream)           //nolint:errcheck
	here.Close()
	select {
	case <-done:
	case <-time.After(patience):
		t.Fatalf("the server is not through with %x", stream)
	}
}

func FuzzHandshake(f *testing.F) {
	const magic = protocol.NEGOTIATION_MAGIC_OPTION
	flags := clientFixedNewstyle | clientNoZeroes
	f.Add(encode(flags, magic, optExportName, uint32(2), "ro"))
	f.Add(encode(flags, magic, optGo, uint32(6), goData("")))
	f.Add(encode(uint32(0), magic, optGo, uint32(0), uint32(2), "ro", uint16(1), uint16(3)))
	f.Add(encode(flags, magic, optList, uint32(0), magic, optAbort, uint32(0)))
	f.Add(encode(flags, magic, optStructuredReply, uint32(0),
		magic, optSetMetaContext, uint32(27), uint32(0), uint32(1), uint32(15), contextAllocation,
		magic, optGo, uint32(6), goData(""),
		protocol.TRANSMISSION_MAGIC_REQUEST, uint16(0), cmdBlockStatus, uint64(1), uint64(0), uint32(1<<20)))
	f.Add(encode(flags, magic, optStartTLS, uint32(0)))
	f.Fuzz(func(t *testing.T, stream []byte) { feed(t, stream) })
}

func FuzzTransmission(f *testing.F) {
	request := func(cmd, flags uint16, off, n int64, payload ...any) []byte {
		return encode(protocol.TRANSMISSION_MAGIC_REQUEST, flags, cmd, uint64(off), uint64(off), uint32(n), encode(payload...))
	}
	f.Add(request(cmdRead, 0, 0, 4096))
	f.Add(append(request(cmdWrite, 0, 10, 4, "data"), request(cmdRead, cmdFlagDF, 5, 70<<10)...))
	f.Add(request(cmdWrite, cmdFlagFUA, 1<<20, 4, "data"))
	f.Add(request(cmdTrim, 0, 0, 1<<20))
	f.Add(request(cmdWriteZeroes, cmdFlagNoHole, 1, 100))
	f.Add(request(cmdBlockStatus, cmdFlagReqOne, 0, 1<<20))
	f.Add(request(cmdFlush, 0, 0, 0))
	f.Add(request(protocol.TRANSMISSION_TYPE_REQUEST_DISC, 0, 0, 0))
	f.Fuzz(func(t *testing.T, stream []byte) {
		feed(t, append(encode(clientFixedNewstyle|clientNoZeroes,
			protocol.NEGOTIATION_MAGIC_OPTION, optStructuredReply, uint32(0),
			protocol.NEGOTIATION_MAGIC_OPTION, optSetMetaContext, uint32(27), uint32(0), uint32(1), uint32(15), contextAllocation,
			protocol.NEGOTIATION_MAGIC_OPTION, optGo, uint32(6), goData("")), stream...))
	})
}
