package pgrunner

import (
	"bytes"
	"context"
	"strings"
	"sync"
	"testing"

	"github.com/snapview/snapview/pgrunner/pgwatch"
)

// testDump dumps a table of the fixtures' cluster, and one that is not there.
func testDump(t *testing.T, s *Server) {
	t.Helper()
	var table, schema bytes.Buffer
	if err := s.Dump(t.Context(), Dump{Database: "postgres", Tables: []TableName{{"public", "acct"}}, Inserts: true, DataOnly: true}, &table); err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(table.String(), "INSERT INTO public.acct"); n != 10000 {
		t.Errorf("%d rows", n)
	}
	if err := s.Dump(t.Context(), Dump{Database: "postgres", SchemaOnly: true}, &schema); err != nil {
		t.Fatal(err)
	}
	if text := schema.String(); !strings.Contains(text, "CREATE TABLE public.acct") || !strings.Contains(text, "dump complete") || strings.Contains(text, "COPY ") {
		t.Errorf("the schema:\n%.2000s", text)
	}
	err := s.Dump(t.Context(), Dump{Database: "postgres", Tables: []TableName{{"public", `no"such.*`}}}, &table)
	if err == nil || !strings.Contains(err.Error(), "no matching tables") {
		t.Errorf("a table that is not there: %v", err)
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Dump(gone, Dump{Database: "postgres"}, &table); err == nil {
		t.Error("no error of a context that is done")
	}
}

func TestDumpLocal(t *testing.T) {
	p := needsLocal(t, 15)
	s := start(t, p, config(t, plain15(t, p), 15))
	var mu sync.Mutex
	rows := map[string]int64{}
	s.Hear(func(_ string, st pgwatch.Statement) {
		mu.Lock()
		defer mu.Unlock()
		if st.Application == "snapview pg_dump" {
			rows[strings.Fields(st.SQL)[0]] += st.Rows
		}
	})
	testDump(t, s)
	mu.Lock()
	defer mu.Unlock()
	if rows["FETCH"] != 10000 {
		t.Errorf("rows that were heard of, by command: %v", rows)
	}
}

func TestDumpDocker(t *testing.T) {
	p, _ := needsDocker(t, 17)
	root := unpack(t, "pg17/pg17-incr-chain.tar.zst", "fp-full", "fp-full-ts1", p)
	testDump(t, start(t, p, config(t, root, 17)))
}
