package structure

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/snapview/snapview/check"
)

// Options say how to check a database.
type Options struct {
	// Database is its name, for the findings.
	Database string
	// Connect opens a connection to it as a superuser.
	Connect func(context.Context) (*pgx.Conn, error)
	// Shared checks the relations that all databases share as well; once is enough.
	Shared bool
	// HeapAllIndexed looks for every row of a table in each of its B-trees,
	// which takes about as long as building them.
	HeapAllIndexed bool
	// Workers is how many relations are checked at once; 0 for one on each core.
	Workers int
	// Progress, if not nil, is called with the bytes of relations checked so
	// far, of how many. It may be called by several goroutines at once.
	Progress func(done, total int64)
}

// Bounds on what is listed; more is counted.
const (
	maxProblems    = 500
	maxOfARelation = 20
)

// recovery is how long a server that crashed is waited for.
const recovery = 60 * time.Second

// A Result is what was checked in a database, and found.
type Result struct {
	Tables, Indexes int
	Bytes           int64
	Notes           []string // what was not checked, and why
	Problems        []check.Problem
	More            int // problems than are listed
}

// Bad returns how many problems there are.
func (r *Result) Bad() int { return len(r.Problems) + r.More }

// Check checks a database. What is wrong with it is in the result; the error
// says why it could not be checked, ErrNoAmcheck for one.
func Check(ctx context.Context, opts Options) (*Result, error) {
	if opts.Workers <= 0 {
		opts.Workers = runtime.GOMAXPROCS(0)
	}
	conn, err := connect(ctx, opts)
	if err != nil {
		return nil, err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	e, err := install(ctx, conn)
	if err != nil {
		return nil, err
	}
	list, others, err := relations(ctx, conn, e, opts.Shared)
	if err != nil {
		return nil, err
	}
	c := &checker{opts: opts, extension: e, list: list}
	for _, r := range list {
		c.total += r.Bytes
	}
	if !e.heap {
		c.result.Notes = append(c.result.Notes, "tables are not checked: amcheck does so from PostgreSQL 14 on")
	}
	if others > 0 {
		c.result.Notes = append(c.result.Notes, fmt.Sprintf("%d relations are not checked: invalid indexes, and access methods that amcheck does not know", others))
	}
	if opts.HeapAllIndexed && !e.rows {
		c.result.Notes = append(c.result.Notes, "rows are not looked for in indexes: amcheck does so from PostgreSQL 11 on")
	}
	if err := c.run(ctx); err != nil {
		return nil, err
	}
	slices.SortStableFunc(c.result.Problems, func(a, b check.Problem) int { return strings.Compare(a.Relation, b.Relation) })
	return &c.result, nil
}

func connect(ctx context.Context, opts Options) (*pgx.Conn, error) {
	conn, err := opts.Connect(ctx)
	if err != nil {
		return nil, err
	}
	if err := prepare(ctx, conn); err != nil {
		return nil, errors.Join(err, conn.Close(context.WithoutCancel(ctx)))
	}
	return conn, nil
}

type checker struct {
	opts      Options
	extension extension
	list      []relation
	total     int64
	next      atomic.Int64

	mu     sync.Mutex // guards result
	result Result
}

func (c *checker) run(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var working sync.WaitGroup
	for range min(c.opts.Workers, len(c.list)) {
		working.Go(func() {
			if err := c.worker(ctx); err != nil {
				cancel(err)
			}
		})
	}
	working.Wait()
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return nil
}

// worker takes one relation after the other over a connection of its own.
func (c *checker) worker(ctx context.Context) error {
	conn, err := connect(ctx, c.opts)
	if err != nil {
		return err
	}
	defer func() { conn.Close(context.WithoutCancel(ctx)) }()
	for ctx.Err() == nil {
		i := int(c.next.Add(1)) - 1
		if i >= len(c.list) {
			return nil
		}
		r := c.list[i]
		err := c.relation(ctx, conn, r)
		var refused *pgconn.PgError
		switch {
		case err == nil:
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.As(err, &refused) && refused.Severity == "ERROR":
			c.problem(r, nil, message(refused))
		default:
			c.problem(r, nil, "checking it ended the connection: "+err.Error())
			conn.Close(ctx) //nolint:errcheck // it is gone
			if conn, err = c.reconnect(ctx); err != nil {
				return fmt.Errorf("the server did not come back after checking %s: %w", r.Name, err)
			}
		}
		c.done(r)
	}
	return ctx.Err()
}

// message is an error of the server as one line.
func message(e *pgconn.PgError) string {
	text := e.Message
	if e.Detail != "" {
		text += " (" + e.Detail + ")"
	}
	return text + " [" + e.Code + "]"
}

// reconnect waits for a server that recovers from a crash.
func (c *checker) reconnect(ctx context.Context) (*pgx.Conn, error) {
	deadline := time.Now().Add(recovery)
	for {
		conn, err := connect(ctx, c.opts)
		if err == nil || ctx.Err() != nil || time.Now().After(deadline) {
			return conn, err
		}
		select {
		case <-time.After(100 * time.Millisecond):
		case <-ctx.Done():
		}
	}
}

// relation checks one; the error is the server's.
func (c *checker) relation(ctx context.Context, conn *pgx.Conn, r relation) error {
	if r.index() {
		sql, args := "select "+c.extension.schema+".bt_index_check($1::oid::regclass)", []any{r.OID}
		if c.opts.HeapAllIndexed && c.extension.rows {
			sql, args = "select "+c.extension.schema+".bt_index_check($1::oid::regclass, $2)", []any{r.OID, true}
		}
		_, err := conn.Exec(ctx, sql, args...)
		return err
	}
	rows, err := conn.Query(ctx, "select blkno, offnum, attnum, msg from "+c.extension.schema+
		".verify_heapam(relation := $1::oid::regclass, on_error_stop := false, check_toast := true, skip := 'none')", r.OID)
	if err != nil {
		return err
	}
	var block *int64
	var row, column *int32
	var text *string
	found := 0
	_, err = pgx.ForEachRow(rows, []any{&block, &row, &column, &text}, func() error {
		if found++; found > maxOfARelation {
			c.more()
			return nil
		}
		what := "damaged"
		if text != nil {
			what = *text
		}
		if row != nil {
			what = fmt.Sprintf("row %d: %s", *row, what)
		}
		var at *uint32
		if block != nil {
			n := uint32(*block)
			at = &n
		}
		c.problem(r, at, what)
		return nil
	})
	return err
}

func (c *checker) problem(r relation, block *uint32, text string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.result.Problems) >= maxProblems {
		c.result.More++
		return
	}
	c.result.Problems = append(c.result.Problems, check.Problem{
		Database: c.opts.Database, Relation: r.Name, File: r.File, Block: block, Message: text,
	})
}

func (c *checker) more() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.result.More++
}

func (c *checker) done(r relation) {
	c.mu.Lock()
	c.result.Bytes += r.Bytes
	if r.index() {
		c.result.Indexes++
	} else {
		c.result.Tables++
	}
	done := c.result.Bytes
	c.mu.Unlock()
	if c.opts.Progress != nil {
		c.opts.Progress(done, c.total)
	}
}
