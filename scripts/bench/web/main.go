// Command web measures the page and the server behind it: how soon the first
// view can be used, how fast rows come from PostgreSQL to the socket and what
// memory that takes, how fast a schema of ten thousand tables opens, and how
// smoothly a million rows scroll. psql reading the same rows is the floor.
//
// It starts a PostgreSQL of its own as an unprivileged user (web/webtest),
// fills it, and serves the page over it from a process of its own, which is
// this program again, so that what is measured of it is its own. All of it
// ends with the program.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log"
	"os"
	"os/signal"
	"slices"
	"syscall"

	"github.com/snapview/snapview/web/webtest"
)

// What is measured: the rows of a result, and the tables of a schema.
const (
	manyRows   = 1_000_000
	fewRows    = 100_000
	manyTables = 10_000
	// The session of webtest shows this one first.
	database = webtest.DemoDatabase
)

func main() {
	log.SetFlags(0)
	log.SetPrefix("bench/web: ")
	serving := flag.String("serve", "", "serve the page over the PostgreSQL of this connection string (how the program starts itself)")
	runs := flag.Int("runs", 5, "runs of each")
	only := flag.String("only", "", "only one part: rows, page")
	hold := flag.Bool("hold", false, "only start and fill the server, print its login link, and wait for Ctrl-C")
	profile := flag.String("profile", "", "write a processor profile of the server while it sends rows to this file")
	script := flag.String("script", "scripts/bench/web/page.mjs", "the program that drives the browser")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	var err error
	if *serving != "" {
		err = serve(ctx, *serving)
	} else {
		err = measure(ctx, options{runs: *runs, only: *only, hold: *hold, profile: *profile, script: *script})
	}
	if err != nil {
		log.Fatal(err)
	}
}

type options struct {
	runs          int
	only, profile string
	script        string
	hold          bool
}

func measure(ctx context.Context, o options) (err error) {
	cluster, err := webtest.StartCluster(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, cluster.Close()) }()
	if err := fill(ctx, cluster); err != nil {
		return err
	}
	s, err := startServer(ctx, cluster.DSN(database))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.stop()) }()
	if o.hold {
		fmt.Println(s.base, s.cookie)
		<-ctx.Done()
		return nil
	}
	if o.only == "" || o.only == "rows" {
		if err := rows(ctx, o, cluster, s); err != nil {
			return err
		}
	}
	if o.only == "" || o.only == "page" {
		return page(ctx, o, s)
	}
	return nil
}

// fill makes the rows that are read and the schema with many tables.
func fill(ctx context.Context, c *webtest.Cluster) error {
	log.Printf("filling a PostgreSQL of its own: %d rows, %d tables", manyRows, manyTables)
	if err := c.Exec(ctx, "postgres", "create database "+database); err != nil {
		return err
	}
	statements := []string{
		fmt.Sprintf(`create table orders as select i as id, (i * 7919::bigint) %% 100000 as customer_id, timestamptz '2026-01-01' + i * interval '31 seconds' as placed_at,
			(array['new', 'paid', 'shipped', 'returned'])[1 + i %% 4] as status, round((i %% 100000)::numeric / 37, 2) as total,
			md5(i::text) as reference, case when i %% 5 = 0 then 'leave at the door, ring twice' end as note
			from generate_series(1, %d) i`, manyRows),
		"alter table orders add primary key (id)", "vacuum analyze orders", "create schema many",
	}
	// A transaction holds a lock for each table that it makes: by parts.
	for from := 1; from <= manyTables; from += 500 {
		statements = append(statements, fmt.Sprintf(`do $$ begin for i in %d..%d loop
			execute format('create table many.%%I (id int primary key, name text not null, at timestamptz)', 'table_' || to_char(i, 'FM00000'));
			end loop; end $$`, from, from+499))
	}
	statements = append(statements, "insert into many.table_05000 select i, 'row ' || i, now() from generate_series(1, 1000) i")
	return c.Exec(ctx, database, append(statements, "analyze pg_catalog.pg_class", "checkpoint")...)
}

func median(v []float64) float64 {
	v = slices.Sorted(slices.Values(v))
	n := len(v)
	if n == 0 {
		return 0
	}
	return (v[(n-1)/2] + v[n/2]) / 2
}
