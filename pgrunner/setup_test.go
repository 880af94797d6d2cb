package pgrunner

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"slices"
	"strings"
	"testing"
)

func TestParseSetup(t *testing.T) {
	f := parseSetup("\nPostgreSQL stand-alone backend 15.20\nbackend> backend> \t 1: sv_role\t(typeid = 23, len = 4, typmod = -1, byval = t)\n\t----\n" +
		"\t 1: sv_role = \"1\"\t(typeid = 23, len = 4, typmod = -1, byval = t)\n\t----\n" +
		"backend> \t 1: sv_db\t(typeid = 25, len = -1, typmod = -1, byval = f)\n\t----\n" +
		"\t 1: sv_db = \"73686f70\"\t(typeid = 25, len = -1, typmod = -1, byval = f)\n\t----\n" +
		"\t 1: sv_db = \"610a62\"\t(typeid = 25, len = -1, typmod = -1, byval = f)\n\t----\n" +
		"\t 1: sv_db = \"zz\"\t(typeid = 25, len = -1, typmod = -1, byval = f)\n\t----\n" +
		"\t 1: sv_coll = \"73686f70 2.36 2.41\"\t(typeid = 25, len = -1, typmod = -1, byval = f)\n\t----\n" +
		"\t 1: sv_prepared = \"2\"\t(typeid = 20, len = 8, typmod = -1, byval = t)\n\t----\n" +
		"\t 1: server_version = \"15.20 (Debian)\"\t(typeid = 25, len = -1, typmod = -1, byval = f)\n\t----\n")
	if !f.roleMade || !slices.Equal(f.databases, []string{"shop", "a\nb"}) || f.version != "15.20 (Debian)" || len(f.warnings) != 2 {
		t.Errorf("%+v", f)
	}
	if f := parseSetup("backend> backend> "); f.roleMade {
		t.Error("a role out of nothing")
	}
}

// A statement of single-user mode ends with its line.
func TestSetupSQLIsOneStatementALine(t *testing.T) {
	for major := MinMajor; major <= MaxMajor; major++ {
		for _, writable := range []bool{false, true} {
			c := Config{Major: major, Writable: writable}
			for line := range strings.Lines(setupSQL(c, map[string]string{"datestyle": "it's"}, "r", "v") + grantSQL("r")) {
				if !strings.HasSuffix(line, ";\n") || strings.Count(line, "$$")%2 != 0 || strings.Count(line, "'")%2 != 0 {
					t.Errorf("PostgreSQL %d: %s", major, line)
				}
			}
		}
	}
}

// The example of RFC 7677, section 3: the verifier's server key has to make
// the server's signature.
func TestSCRAMVerifier(t *testing.T) {
	salt, _ := base64.StdEncoding.DecodeString("W22ZaJ0SNY7soEsUEjb6gQ==")
	v, err := scramVerifier("pencil", salt)
	if err != nil {
		t.Fatal(err)
	}
	keys, ok := strings.CutPrefix(v, "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$")
	_, server, ok2 := strings.Cut(keys, ":")
	key, err := base64.StdEncoding.DecodeString(server)
	if !ok || !ok2 || err != nil {
		t.Fatalf("verifier %s", v)
	}
	h := hmac.New(sha256.New, key)
	h.Write([]byte("n=user,r=rOprNGfwEbeRWgbNEkqO,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096," +
		"c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"))
	if got := base64.StdEncoding.EncodeToString(h.Sum(nil)); got != "6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=" {
		t.Errorf("server signature %s", got)
	}
}

func TestParsePasswd(t *testing.T) {
	uid, gid, err := parsePasswd("root:x:0:0::/:/bin/sh\npostgres:x:999:998::/:/bin/sh\n", "postgres")
	if uid != 999 || gid != 998 || err != nil {
		t.Error(uid, gid, err)
	}
	for _, bad := range []string{"", "postgres", "postgres:x:0:0", "postgres:x:-1:1", "postgres:x:99999999999:1"} {
		if _, _, err := parsePasswd(bad, "postgres"); err == nil {
			t.Errorf("%q: no error", bad)
		}
	}
}

func FuzzDatabaseNames(f *testing.F) {
	page := make([]byte, pageSize)
	binary.LittleEndian.PutUint16(page[12:], pageHeader+4)
	binary.LittleEndian.PutUint32(page[pageHeader:], 8000|1<<15)
	page[8000+hoffOffset] = 24
	copy(page[8000+24+4:], "shop")
	if got := databaseNames(page, 15); !slices.Equal(got, []string{"shop"}) {
		f.Fatalf("read %q", got)
	}
	f.Add(page)
	f.Fuzz(func(t *testing.T, b []byte) {
		databaseNames(b, 15)
		databaseNames(b, 11)
		mappedFile(b, pgDatabaseOID)
	})
}
