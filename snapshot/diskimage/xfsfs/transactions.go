package xfsfs

import "bytes"

// Layout of the log's operations and of the transactions that they carry. A
// transaction is a header and items, an item is regions: the first says what the
// item is and how many regions it has.
const (
	opStart     = 0x01
	opCommit    = 0x02
	opContinue  = 0x04 // the region goes on in a later operation
	opContinued = 0x08 // it is such a later one
	opEnd       = 0x10
	opUnmount   = 0x20

	clientTransaction = 0x69
	clientLog         = 0xAA

	magicTransaction  = 0x5452414E // TRAN
	transactionHeader = 16
	maxRegions        = 257 // of one item

	// maxOpen bounds what is kept in memory of transactions that are not
	// complete, in bytes: a kernel writes at most 64 MiB in one.
	maxOpen = 256 << 20
)

// A transaction is what was read of one so far.
type transaction struct {
	lsn    uint64 // of the record that it began in
	header []byte
	items  []*item
	bytes  int64
}

type item struct {
	total   int
	regions [][]byte
}

func (i *item) kind() uint16 { return le.Uint16(i.regions[0]) }

// An assembler puts transactions together.
type assembler struct {
	open   map[uint32]*transaction
	bytes  int64 // of those that are open
	commit func(*transaction) error
}

// record takes a record's operations.
func (a *assembler) record(r *recordHeader, b []byte) error {
	for n := r.ops; n > 0 && len(b) > 0; n-- {
		if len(b) < 12 {
			return broken("the record at sector %d ends inside of an operation", r.at)
		}
		id, length, client, flags := be.Uint32(b), int64(be.Uint32(b[4:])), b[8], b[9]
		b = b[12:]
		if length > int64(len(b)) || client != clientTransaction && client != clientLog {
			return broken("the record at sector %d has an operation of %d bytes by client %#x", r.at, length, client)
		}
		if err := a.operation(r, id, flags, b[:length]); err != nil {
			return err
		}
		b = b[length:]
	}
	return nil
}

func (a *assembler) operation(r *recordHeader, id uint32, flags byte, b []byte) error {
	t := a.open[id]
	if t == nil {
		if flags&opStart != 0 {
			a.open[id] = &transaction{lsn: r.lsn}
		}
		return nil // the end of one that began before the tail
	}
	flags &^= opEnd
	if flags&opContinued != 0 {
		flags &^= opContinue
	}
	switch flags {
	case 0, opContinue:
		return a.grow(t, b, t.region(b))
	case opContinued:
		return a.grow(t, b, t.extend(b))
	case opCommit, opUnmount:
		delete(a.open, id)
		a.bytes -= t.bytes
		if flags == opUnmount {
			return nil
		}
		for _, i := range t.items {
			if len(i.regions) != i.total {
				return broken("a transaction was committed with %d regions of %d of an item", len(i.regions), i.total)
			}
		}
		return a.commit(t)
	}
	return broken("the record at sector %d has an operation with flags %#x", r.at, flags)
}

// grow counts what a transaction keeps, and what keeping it costs.
func (a *assembler) grow(t *transaction, b []byte, err error) error {
	const cost = 64
	t.bytes += int64(len(b)) + cost
	a.bytes += int64(len(b)) + cost
	if err == nil && a.bytes > maxOpen {
		return unsupported("the log holds transactions of more than %d MiB: %s", maxOpen>>20, remedy)
	}
	return err
}

// region adds a region, or the transaction's header, which is the first.
func (t *transaction) region(b []byte) error {
	if len(b) == 0 {
		return nil
	}
	if len(t.header) < transactionHeader {
		return t.begin(b)
	}
	if n := len(t.items); n == 0 || len(t.items[n-1].regions) == t.items[n-1].total {
		if len(b) < 4 {
			return broken("an item of %d bytes", len(b))
		}
		total := int(le.Uint16(b[2:]))
		if total == 0 || total > maxRegions {
			return broken("an item with %d regions", total)
		}
		t.items = append(t.items, &item{total: total})
	}
	i := t.items[len(t.items)-1]
	i.regions = append(i.regions, bytes.Clone(b)) // not the whole record
	return nil
}

// extend adds to the last region.
func (t *transaction) extend(b []byte) error {
	if len(t.header) < transactionHeader {
		return t.begin(b)
	}
	if len(t.items) == 0 {
		return broken("a transaction begins in the middle of a region")
	}
	i := t.items[len(t.items)-1]
	last := &i.regions[len(i.regions)-1]
	*last = append(*last, b...)
	return nil
}

// begin adds to the header.
func (t *transaction) begin(b []byte) error {
	t.header = append(t.header, b...)
	if len(t.header) > transactionHeader || len(t.header) >= 4 && le.Uint32(t.header) != magicTransaction {
		return broken("a transaction has no header")
	}
	return nil
}
