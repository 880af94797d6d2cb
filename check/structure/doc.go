// Package structure has a server check its own tables and indexes by its
// extension amcheck, as pg_amcheck does: that rows can be read and make sense
// (verify_heapam), that B-trees are in order and, when asked for, hold every row
// of their table (bt_index_check).
//
// The functions are called here rather than by the program pg_amcheck, which is
// where the server is (a container has it, the host may not), begins with
// version 14, and prints text. The extension is created where a database has
// none, so the server must be one that takes writes and is thrown away.
//
// Checking stops nowhere: what is broken is listed, and the next relation is
// checked. A relation that makes the server crash is a finding too; the server
// is waited for.
package structure
