// Package nbdserver speaks the NBD protocol (Network Block Device, fixed
// newstyle) for any block.Reader or block.Device over any net.Listener: a unix
// socket, TCP on loopback, TLS on either. It knows no mounts and needs no root.
//
// The protocol is the one of
// https://github.com/NetworkBlockDevice/nbd/blob/master/doc/proto.md. The wire
// structures and numbers that github.com/pojntfx/go-nbd defines are taken from
// its protocol package; the rest stand in protocol.go.
//
// # How a request travels
//
//	socket -> input buffer -> reader --small and fast--> device -> batch  --\
//	                             \-----everything else--> worker -> reply --- > outbox -> socket
//
// One goroutine per connection is its reader. It parses requests out of a large
// input buffer, so that pipelined requests cost one read(2) together. A small
// READ or WRITE is executed there and then: the data of a READ goes straight
// into the batch of replies, the payload of a WRITE straight from the input
// buffer to the device. The batch is sent when no further complete request is
// in the input buffer. At any depth that is one read and one write per batch,
// no hand-over between threads and no allocation.
//
// Executing in the reader is a bet that the device answers at once, and two
// things make losing it harmless:
//
//   - An operation that took long (inlineSlow) sends the next ones
//     (inlineBackoff) to the workers, where they wait in parallel; after those
//     the bet is made again.
//   - An operation that does not return (a write held at the overlay's limit,
//     a backup out of reach) is noticed by the server's watcher within a few
//     milliseconds. It takes the role of reader away from the stuck goroutine
//     and gives it to a new one, which sends what the batch holds so far and
//     reads on. The stuck goroutine answers its own request when it is done;
//     until then others of its kind (reading, changing) go to the workers.
//
// A longer READ of bytes that lie in one file and in the page cache goes from
// there to the socket by sendfile(2) without a copy, if the device can say where
// they lie (block.FileMapper).
//
// Everything else (large requests, FLUSH, FUA, TRIM ...) goes to the
// connection's workers, a bounded number started on demand, and is answered in
// the order of completion. Reading and changing commands have workers of their
// own, so that reads go on while every writer is held.
//
// # Waiting
//
// After the handshake a plain socket is read and written by system calls of the
// package's own (type socket), because of how it waits (type lot): a thread
// lingers in poll(2) for a client that was busy a moment ago, and only then is
// the goroutine parked in Go's poller.
//
// # Memory
//
// What a client can make the server hold is bounded, whatever it sends or does
// not read: see budget. Each connection has a small private budget, which no
// other client can use up, and shares the server's. Handshake, the payload of
// a WRITE and the taking of replies have deadlines.
//
// # Lock order
//
// Server.mu, then conn.mu; outbox.mu and budget.mu are leaves. No lock is held
// during a call into a device or a socket.
package nbdserver
