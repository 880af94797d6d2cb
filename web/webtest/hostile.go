package webtest

import (
	"bytes"
	"context"
	_ "embed"
	"encoding/base64"
	"fmt"
	"image"
	"image/color"
	"image/gif"
	"image/jpeg"
	"image/png"
	"strings"
)

// HostileDatabase is the name of the database that CreateHostile makes.
const HostileDatabase = "hostile"

// ManyDatabase is the name of the database that CreateMany makes.
const ManyDatabase = "many"

//go:embed hostile.sql
var hostileSQL string

// A File is a content of the table files and of a large object.
type File struct {
	Name    string
	Content []byte
}

// HostileFiles are contents of the types that are shown, and of some that must
// not be.
func HostileFiles() []File {
	picture := image.NewRGBA(image.Rect(0, 0, 320, 200))
	for i := range picture.Pix {
		x, y := i/4%320, i/4/320
		picture.Pix[i] = [4]uint8{uint8(x * 255 / 320), uint8(y * 255 / 200), 160, 255}[i%4]
	}
	paletted := image.NewPaletted(image.Rect(0, 0, 64, 64), color.Palette{color.White, color.RGBA{15, 118, 110, 255}})
	for i := range paletted.Pix {
		paletted.Pix[i] = uint8((i/8 + i/64/8) % 2)
	}
	encode := func(to func(*bytes.Buffer) error) []byte {
		var b bytes.Buffer
		if err := to(&b); err != nil {
			panic(err) // a buffer takes anything
		}
		return b.Bytes()
	}
	// One pixel, as libwebp's own tools write it.
	webp, err := base64.StdEncoding.DecodeString("UklGRiIAAABXRUJQVlA4IBYAAAAwAQCdASoBAAEADsD+JaQAA3AAAAAA")
	if err != nil {
		panic(err)
	}
	asPNG := encode(func(b *bytes.Buffer) error { return png.Encode(b, picture) })
	var wide []byte
	for _, r := range "wide letters: größe" {
		wide = append(wide, byte(r), byte(r>>8))
	}
	return []File{
		{"picture.png", asPNG},
		{"photo.jpg", encode(func(b *bytes.Buffer) error { return jpeg.Encode(b, picture, nil) })},
		{"chequers.gif", encode(func(b *bytes.Buffer) error { return gif.Encode(b, paletted, nil) })},
		{"dot.webp", webp},
		{"damaged.png", asPNG[:40]},
		{"report.pdf", []byte("%PDF-1.4\n1 0 obj<</Type/Catalog/OpenAction<</S/JavaScript/JS(app.alert(1))>>>>endobj\n%%EOF")},
		{"drawing.svg", []byte(`<svg xmlns="http://www.w3.org/2000/svg"><script>window.hacked = 6</script><rect width="9" height="9"/></svg>`)},
		{"page.html", []byte(`<!doctype html><script>window.hacked = 7</script><h1>A page</h1>`)},
		{"order.json", []byte(`{"id": 12345678901234567890, "lines": [{"sku": "A-1", "n": 2}], "note": "<b>bold</b>"}`)},
		{"letter.txt", []byte("Dear M\xfcller,\nthe parcel from Z\xfcrich has come.\n")},
		{"wide.txt", wide},
		{"long.txt", []byte(strings.Repeat("Zeile für Zeile, Größe und Maß. ", 20_000))},
		{"archive.zip", append([]byte("PK\x03\x04\x14\x00\x00\x00"), bytes.Repeat([]byte{0, 1, 2, 0xff}, 30_000)...)},
		{"nothing", nil},
	}
}

// CreateHostile makes the database "hostile": what a page must withstand.
func (c *Cluster) CreateHostile(ctx context.Context) error {
	if err := c.Exec(ctx, "postgres", "create database "+HostileDatabase); err != nil {
		return err
	}
	statements := []string{hostileSQL}
	for i, f := range HostileFiles() {
		statements = append(statements, fmt.Sprintf(`insert into files values (%d, '%s', '\x%x')`, i+1, f.Name, f.Content),
			fmt.Sprintf(`do $$ declare file oid := lo_from_bytea(0, '\x%x'); begin execute format('grant select on large object %%s to public; comment on large object %%1$s is %%L', file, '%s'); end $$`, f.Content, f.Name))
	}
	return c.Exec(ctx, HostileDatabase, statements...)
}

// CreateMany makes the database "many" with n tables in 50 schemas, besides a
// few real ones. All but those are entries of the catalogue alone, which is made
// in no time: they can be listed and found, not opened.
func (c *Cluster) CreateMany(ctx context.Context, n int) error {
	if err := c.Exec(ctx, "postgres", "create database "+ManyDatabase); err != nil {
		return err
	}
	return c.Exec(ctx, ManyDatabase,
		`create table public.model (id int primary key, note text); insert into public.model values (1, 'real')`,
		`do $$ begin for i in 1..50 loop execute format('create schema tenant_%s; create table tenant_%1$s.a_real_one (id int primary key); insert into tenant_%1$s.a_real_one values (%1$s)', i); end loop; end $$`,
		fmt.Sprintf(`set allow_system_table_mods = on;
		create temp table spaces as select oid, nspname from pg_namespace where nspname like 'tenant_%%';
		create temp table more as select c.*, i from pg_class c, generate_series(1, %d) i where c.oid = 'public.model'::regclass;
		update more set oid = 1000000 + i, relname = 'table_' || lpad(i::text, 6, '0'), relnamespace = s.oid, reltuples = i %% 977, relpages = i %% 977,
			relhasindex = false, reltoastrelid = 0, relnatts = 0, reltype = 0, relacl = null
			from spaces s where s.nspname = 'tenant_' || 1 + i %% 50;
		alter table more drop column i;
		insert into pg_class select * from more;
		analyze pg_class`, n))
}
