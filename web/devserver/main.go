// Devserver runs the web server over a PostgreSQL of its own with a demo
// database and a made-up session, so that the page can be developed and tested
// in a browser without a backup, a mount or root.
//
//	go run ./web/devserver --listen 127.0.0.1:7777
//
// It prints the URL with its token, then serves until it is interrupted. A
// second session, "closed-1", is there to show how one looks that is gone.
package main

import (
	"context"
	"flag"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/snapview/snapview/web"
	"github.com/snapview/snapview/web/webtest"
)

func main() {
	listen := flag.String("listen", "127.0.0.1:0", "address to serve the page on")
	quiet := flag.Bool("quiet", false, "do not make the overlay grow")
	verbose := flag.Bool("v", false, "log requests")
	token := flag.String("token", "", "let the user ada log in with this token")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *listen, *token, !*quiet, *verbose); err != nil {
		fmt.Fprintln(os.Stderr, "devserver:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, listen, token string, grow, verbose bool) error {
	cluster, err := webtest.StartCluster(ctx)
	if err != nil {
		return err
	}
	defer cluster.Close()
	if err := cluster.CreateDemo(ctx); err != nil {
		return err
	}
	// Not among the demonstration data, whose tests count large objects of their own.
	if err := cluster.Exec(ctx, "shop", `do $$ declare file oid := lo_from_bytea(0, convert_to(repeat('a scanned invoice ', 4000), 'UTF8'));
		begin execute format('grant select on large object %s to public; comment on large object %1$s is %L', file, 'invoice-2041.txt'); end $$`); err != nil {
		return err
	}
	if err := cluster.CreateHostile(ctx); err != nil {
		return err
	}
	sessions := &webtest.Sessions{Limits: &web.Totals{
		Sessions: web.Total{Limit: 6}, OverlayBytes: web.Total{Limit: 20 << 30}, MemoryBytes: web.Total{Limit: 16 << 30},
	}}
	gone := webtest.NewSession("closed-1", nil)
	if err := gone.Close(ctx); err != nil {
		return err
	}
	gone.Wait()
	sessions.Add(gone)
	session := webtest.NewSession("demo", cluster.DSN)
	session.HasLayers = true
	session.CloseDelay = time.Second
	session.MergeTime = 2 * time.Second
	sessions.Add(session)

	level := slog.LevelInfo
	if verbose {
		level = slog.LevelDebug
	}
	l, err := net.Listen("tcp", listen)
	if err != nil {
		return err
	}
	var users web.Users
	if token != "" {
		users.Tokens = map[string]string{token: "ada"}
	}
	server, err := web.New(web.Options{
		Users:    users,
		Sessions: sessions, Listener: l,
		Catalogue: &webtest.Catalogue{Sessions: sessions, DSNs: cluster.DSN, OpenTime: 2 * time.Second, Max: 6},
		Logger:    slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: level})),
	})
	if err != nil {
		return err
	}
	failed := make(chan error, 1)
	go func() { failed <- server.Serve() }()
	// Takes seconds, and few look at it.
	made := make(chan struct{})
	defer func() { <-made }()
	go func() {
		defer close(made)
		if err := cluster.CreateMany(ctx, 100_000); err != nil && ctx.Err() == nil {
			slog.Error("a database with many tables was not made", "error", err)
		}
	}()
	if grow {
		go growFor(ctx, session)
	}
	fmt.Println(server.NewLoginURL("/"))
	select {
	case err = <-failed:
	case <-ctx.Done():
	}
	closing, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if shut := server.Shutdown(closing); err == nil {
		err = shut
	}
	return err
}

// growFor makes the figures of a session move as a real one's do.
func growFor(ctx context.Context, session *webtest.Session) {
	tick := time.NewTicker(2 * time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			session.Grow(4096*rand.Int64N(64), 8192*rand.Int64N(256))
		}
	}
}
