// Package pgwatch reports the statements of a connection to PostgreSQL from the
// bytes that pass, for an audit log. It sits in a relay between client and
// server, changes nothing, and understands as much of the frontend/backend
// protocol 3 (PostgreSQL's documentation, "Frontend/Backend Protocol") as that
// needs.
//
// # How a statement is found
//
// The client's messages become a queue of what the server has to answer: Parse,
// Bind, Close, Execute, Query, FunctionCall, Sync. The server answers in order,
// so each of its messages belongs to the head of the queue. Names of prepared
// statements and portals take effect when the server has said so, not when the
// client asks: a Parse that is refused because the name is taken does not change
// what the name stands for in the log either. After an error the server skips
// everything up to the next Sync, and so does the queue.
//
// A simple Query makes one record, however many commands its text holds, and
// every Execute makes one. Function calls (the large objects' way of reading) are
// put together while the same call is repeated.
//
// # What is never held
//
// Bodies are passed on as they come. Of a message no more is kept than its rule
// says (frames.go), whatever length it announces; a row costs a look at its five
// bytes of header. What a connection may make us remember is bounded: a client
// that is too far ahead of the server waits, one that prepares too much is cut.
//
// # When it cannot follow
//
// An audit log that misses what it does not understand is worth nothing, so the
// relay cuts a connection whose bytes are no protocol 3: a message shorter than
// its own length, an encrypted connection, a protocol of another number. The
// server would end most of these by itself. Nothing here panics on what a client
// or a server sends; there is a fuzz target for both directions.
//
// The package does not use pgproto3's readers, which hold each message whole; the
// tests use its writers to make messages.
package pgwatch
