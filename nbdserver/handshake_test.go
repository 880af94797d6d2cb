package nbdserver

import (
	"bytes"
	"encoding/binary"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/pojntfx/go-nbd/pkg/protocol"

	"github.com/snapview/snapview/block"
)

const (
	optAbort = protocol.NEGOTIATION_ID_OPTION_ABORT
	optList  = protocol.NEGOTIATION_ID_OPTION_LIST
	optInfo  = protocol.NEGOTIATION_ID_OPTION_INFO
	optGo    = protocol.NEGOTIATION_ID_OPTION_GO

	repAck        = protocol.NEGOTIATION_TYPE_REPLY_ACK
	repErrUnknown = protocol.NEGOTIATION_TYPE_REPLY_ERR_UNKNOWN
	repErrUnsup   = protocol.NEGOTIATION_TYPE_REPLY_ERR_UNSUPPORTED

	infoName        = protocol.NEGOTIATION_TYPE_INFO_NAME
	infoDescription = protocol.NEGOTIATION_TYPE_INFO_DESCRIPTION
	infoBlockSize   = protocol.NEGOTIATION_TYPE_INFO_BLOCKSIZE
)

// Transmission flags as clients see them, written out.
const (
	wantWritable = uint16(1<<0 | 1<<2 | 1<<3 | 1<<5 | 1<<6 | 1<<8 | 1<<10 | 1<<11)
	wantReadOnly = uint16(1<<0 | 1<<1 | 1<<2 | 1<<3 | 1<<8 | 1<<10)
)

func twoExports(t *testing.T) func() net.Conn {
	t.Helper()
	_, dial := serveDevices(t, Options{},
		Export{Name: "", Description: "the session", Device: block.NewMemory(1 << 20)},
		Export{Name: "ro", Device: block.NewMemory(4096), ReadOnly: true})
	return dial
}

func greeted(t *testing.T, nc net.Conn) *rawClient {
	t.Helper()
	c := &rawClient{t, nc}
	c.greet(clientFixedNewstyle | clientNoZeroes)
	return c
}

func TestExportName_WithAndWithoutZeroes(t *testing.T) {
	dial := twoExports(t)
	for _, flags := range []uint32{0, clientFixedNewstyle, clientFixedNewstyle | clientNoZeroes} {
		c := &rawClient{t, dial()}
		c.greet(flags)
		c.option(optExportName, "ro")
		c.expect(uint64(4096), wantReadOnly)
		if flags&clientNoZeroes == 0 {
			c.expect(make([]byte, 124))
		}
		c.request(cmdRead, 0, 1, 0, 4)
		c.expectSimple(1, 0)
		c.expect(make([]byte, 4))
		c.disconnect()
	}
	c := greeted(t, dial())
	c.option(optExportName, "nothing")
	c.expectEnd()
}

func TestInfoAndGo_DescribeTheExport(t *testing.T) {
	dial := twoExports(t)
	c := greeted(t, dial())
	export := encode(uint16(0), uint64(1<<20), wantWritable)
	sizes := encode(uint16(3), uint32(1), uint32(4096), uint32(32<<20))
	check := func(id uint32, got [][]byte, want ...[]byte) {
		t.Helper()
		if len(got) != len(want) {
			t.Fatalf("option %d: %d infos, want %d", id, len(got), len(want))
		}
		for i := range want {
			if !bytes.Equal(got[i], want[i]) {
				t.Errorf("option %d: info %x, want %x", id, got[i], want[i])
			}
		}
	}
	c.option(optInfo, goData("", infoBlockSize, infoName, infoDescription))
	check(optInfo, c.expectReply(optInfo, repAck), export, encode(infoName), encode(infoDescription, "the session"), sizes)
	c.option(optStructuredReply)
	c.expectReply(optStructuredReply, repAck)
	c.option(optGo, goData("ro"))
	check(optGo, c.expectReply(optGo, repAck), encode(uint16(0), uint64(4096), wantReadOnly|1<<7), sizes)
	c.disconnect()
}

func TestOptions_BadOnesAreRefusedAndTheHagglingGoesOn(t *testing.T) {
	dial := twoExports(t)
	c := greeted(t, dial())
	long := strings.Repeat("x", maxName+1)
	for _, o := range []struct {
		what string
		id   uint32
		data []byte
		want uint32
	}{
		{"unknown option", 77, []byte("data"), repErrUnsup},
		{"too long", optGo, make([]byte, maxOption+1), repErrTooBig},
		{"unknown export", optGo, goData("nothing"), repErrUnknown},
		{"unknown export", optInfo, goData("nothing"), repErrUnknown},
		{"empty GO", optGo, nil, repErrInvalid},
		{"name longer than the option", optGo, encode(uint32(1<<31), "x", uint16(0)), repErrInvalid},
		{"name longer than allowed", optGo, goData(long), repErrInvalid},
		{"infos missing", optGo, encode(uint32(0), uint16(3), uint16(1)), repErrInvalid},
		{"bytes left over", optInfo, append(goData(""), 1), repErrInvalid},
		{"LIST with data", optList, []byte{1}, repErrInvalid},
		{"STRUCTURED_REPLY with data", optStructuredReply, []byte{1}, repErrInvalid},
		{"STARTTLS with data", optStartTLS, []byte{1}, repErrInvalid},
		{"STARTTLS without certificates", optStartTLS, nil, repErrPolicy},
		{"SET_META_CONTEXT before STRUCTURED_REPLY", optSetMetaContext, encode(uint32(0), uint32(0)), repErrInvalid},
		{"LIST_META_CONTEXT cut off", optListMetaContext, encode(uint32(0), uint32(1), uint32(9)), repErrInvalid},
		{"LIST_META_CONTEXT of an unknown export", optListMetaContext, encode(uint32(1), "x", uint32(0)), repErrUnknown},
	} {
		c.option(o.id, o.data)
		typ, text := c.reply(o.id)
		if typ != o.want {
			t.Errorf("%s: reply %#x (%s), want %#x", o.what, typ, text, o.want)
		}
	}
	c.option(optGo, goData(""))
	c.expectReply(optGo, repAck)
	c.disconnect()
}

func TestHandshake_EndsWhereTheStreamCannotBeTrusted(t *testing.T) {
	dial := twoExports(t)
	for what, send := range map[string][]any{
		"unknown client flags":  {uint32(1 << 7)},
		"wrong option magic":    {uint32(1), "not the magic!!!"},
		"huge option":           {uint32(1), protocol.NEGOTIATION_MAGIC_OPTION, optGo, uint32(1 << 31)},
		"huge export name":      {uint32(1), protocol.NEGOTIATION_MAGIC_OPTION, optExportName, uint32(maxOption + 1)},
		"unframed GO, too long": {uint32(0), protocol.NEGOTIATION_MAGIC_OPTION, optGo, uint32(0), uint32(maxName + 1)},
	} {
		c := &rawClient{t, dial()}
		c.receive(18)
		c.send(send...)
		t.Log(what)
		c.expectEnd()
	}
}

func TestList_AndAbort(t *testing.T) {
	dial := twoExports(t)
	c := greeted(t, dial())
	c.option(optList)
	got := c.expectReply(optList, repAck)
	want := [][]byte{encode(uint32(0), "the session"), encode(uint32(2), "ro")}
	if len(got) != 2 || !bytes.Equal(got[0], want[0]) || !bytes.Equal(got[1], want[1]) {
		t.Errorf("LIST: %q", got)
	}
	c.option(optAbort)
	c.expectReply(optAbort, repAck)
	c.expectEnd()
}

func TestMetaContext_ListsAndSelects(t *testing.T) {
	dial := twoExports(t)
	query := func(names ...string) []byte {
		b := encode(uint32(0), uint32(len(names)))
		for _, n := range names {
			b = append(b, encode(uint32(len(n)), n)...)
		}
		return b
	}
	c := greeted(t, dial())
	c.option(optStructuredReply)
	c.expectReply(optStructuredReply, repAck)
	for _, q := range []struct {
		id    uint32
		names []string
		want  []string // with the id in front
	}{
		{optListMetaContext, nil, []string{"\x00base:allocation", "\x00snapview:overlay"}},
		{optListMetaContext, []string{"base:"}, []string{"\x00base:allocation"}},
		{optListMetaContext, []string{"snapview:"}, []string{"\x00snapview:overlay"}},
		{optListMetaContext, []string{"x:y"}, nil},
		{optSetMetaContext, nil, nil},
		{optSetMetaContext, []string{"base:"}, nil},
		{optSetMetaContext, []string{"snapview:overlay", "x-vendor:z"}, []string{"\x02snapview:overlay"}},
		{optSetMetaContext, []string{"base:allocation"}, []string{"\x01base:allocation"}},
	} {
		c.option(q.id, query(q.names...))
		var got []string
		for _, b := range c.expectReply(q.id, repAck) {
			got = append(got, string(b[3:]))
		}
		if strings.Join(got, "|") != strings.Join(q.want, "|") {
			t.Errorf("option %d, %q: %q, want %q", q.id, q.names, got, q.want)
		}
	}
	// Contexts were selected for another export: they do not count.
	c.option(optGo, goData("ro"))
	c.expectReply(optGo, repAck)
	c.request(cmdBlockStatus, 0, 1, 0, 512)
	c.expectError(1, eInval)
	c.disconnect()
}

// go-nbd's client (v0.3.2) frames GO wrongly and needs block sizes unasked, of
// 512 to 4096 bytes; this is what it sends and checks, byte for byte.
func TestGoNBDClient_IsServed(t *testing.T) {
	dial := twoExports(t)
	for _, name := range []string{"default", "ro"} {
		c := &rawClient{t, dial()}
		var header protocol.NegotiationNewstyleHeader
		if err := binary.Read(c, binary.BigEndian, &header); err != nil {
			t.Fatal(err)
		}
		c.send(make([]byte, 4))
		c.send(protocol.NegotiationOptionHeader{OptionMagic: protocol.NEGOTIATION_MAGIC_OPTION, ID: optGo})
		c.send(uint32(len(name)))
		c.send(name)
		c.send(uint16(0))
		infos := c.expectReply(optGo, repAck)
		if len(infos) != 2 || len(infos[0]) != 12 || len(infos[1]) != 14 {
			t.Fatalf("infos %x", infos)
		}
		if preferred := binary.BigEndian.Uint32(infos[1][6:]); preferred < 512 || preferred > 4096 {
			t.Errorf("preferred block size %d: go-nbd's client stops", preferred)
		}
		c.request(cmdRead, 0, 1, 0, 4096)
		c.expectSimple(1, 0)
		c.receive(4096)
		c.disconnect()
	}
}

func TestDefaultExport_IsTheOnlyOne(t *testing.T) {
	s, dial := serveDevices(t, Options{}, Export{Name: "disk", Device: block.NewMemory(512)})
	connect(t, dial(), "", false).disconnect()
	if err := s.AddExport(Export{Name: "other", Device: block.NewMemory(512)}); err != nil {
		t.Fatal(err)
	}
	c := greeted(t, dial())
	c.option(optGo, goData(""))
	c.expectReply(optGo, repErrUnknown)
}

func TestExports_AreCheckedAddedAndRemoved(t *testing.T) {
	s, dial := serveDevices(t, Options{}, Export{Name: "a", Device: block.NewMemory(512)})
	for what, e := range map[string]Export{
		"taken":     {Name: "a", Device: block.NewMemory(512)},
		"no device": {Name: "b"},
		"long name": {Name: strings.Repeat("x", maxName+1), Device: block.NewMemory(512)},
		"not UTF-8": {Name: "\xff", Device: block.NewMemory(512)},
	} {
		if err := s.AddExport(e); err == nil {
			t.Errorf("%s: added", what)
		}
	}
	c := connect(t, dial(), "a", false)
	if err := s.RemoveExport("a"); err != nil {
		t.Fatal(err)
	}
	c.expectEnd()
	if err := s.RemoveExport("a"); err == nil {
		t.Error("removed twice")
	}
	if _, ok := s.Stats("a"); ok {
		t.Error("statistics of a removed export")
	}
}

func TestHandshake_HasADeadline(t *testing.T) {
	t.Parallel()
	_, dial := serveDevices(t, Options{HandshakeTimeout: time.Second}, Export{Device: block.NewMemory(512)})
	greeted(t, dial()).expectEnd()
}

func TestOptions_RequireTLSNeedsCertificates(t *testing.T) {
	if _, err := New(Options{RequireTLS: true}); err == nil {
		t.Error("accepted")
	}
}
