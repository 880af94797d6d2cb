package nbdserver

import (
	"math/bits"
	"sync"
)

// Buffers for payloads come in powers of two plus the room for a reply's
// header, from 4 KiB to MaxPayload, and are pooled by size. The garbage
// collector empties the pools, so an idle server holds none.
const (
	minBufferBits = 12
	maxBufferBits = 25 // MaxPayload
)

type buffer struct {
	b     []byte // replyRoom + 1<<bits bytes
	class int
}

var bufferPools [maxBufferBits - minBufferBits + 1]sync.Pool

// getBuffer returns a buffer for n bytes of payload, 0 <= n <= MaxPayload. Its
// content is undefined.
func getBuffer(n int64) *buffer {
	class := 0
	if n > 1<<minBufferBits {
		class = bits.Len64(uint64(n-1)) - minBufferBits
	}
	if b, ok := bufferPools[class].Get().(*buffer); ok {
		return b
	}
	return &buffer{b: make([]byte, replyRoom+1<<(class+minBufferBits)), class: class}
}

func putBuffer(b *buffer) {
	if b != nil {
		bufferPools[b.class].Put(b)
	}
}

// bufferMemory is what getBuffer(n) takes from a budget: what it allocates.
func bufferMemory(n int64) int64 {
	if n <= 1<<minBufferBits {
		return 1<<minBufferBits + replyRoom
	}
	return 1<<bits.Len64(uint64(n-1)) + replyRoom
}
