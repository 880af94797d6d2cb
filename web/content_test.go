package web_test

import (
	"bytes"
	"context"
	"encoding/hex"
	"fmt"
	"image"
	"image/png"
	"net/url"
	"strings"
	"testing"
)

// keepContents makes a table and large objects with the same contents.
func keepContents(t *testing.T, contents map[string][]byte) (large map[string]string) {
	t.Helper()
	c := cluster(t)
	large = make(map[string]string)
	statements := []string{"create table shop.files (name text primary key, content bytea)", "alter table shop.files alter content set storage external"}
	for name, content := range contents {
		statements = append(statements, fmt.Sprintf(`insert into shop.files values ('%s', '\x%x')`, name, content))
		oid, err := c.QueryText(t.Context(), "shop", fmt.Sprintf(`select lo_from_bytea(0, '\x%s')`, hex.EncodeToString(content)))
		if err != nil {
			t.Fatal(err)
		}
		large[name] = oid
		t.Cleanup(func() { unlinkLargeObject(t, oid) })
		statements = append(statements, "grant select on large object "+oid+" to public")
	}
	t.Cleanup(func() {
		if err := c.Exec(context.WithoutCancel(t.Context()), "shop", "drop table if exists shop.files"); err != nil {
			t.Error(err)
		}
	})
	if err := c.Exec(t.Context(), "shop", append(statements, "insert into shop.files values ('null', null)")...); err != nil {
		t.Fatal(err)
	}
	return large
}

func TestContent_PiecesAndPictures(t *testing.T) {
	var picture bytes.Buffer
	if err := png.Encode(&picture, image.NewGray(image.Rect(0, 0, 20, 10))); err != nil {
		t.Fatal(err)
	}
	long := bytes.Repeat([]byte("0123456789abcdef"), 20_000)
	contents := map[string][]byte{
		"picture": picture.Bytes(), "long": long, "empty": {}, "json": []byte(`{"a": 1}`), "svg": []byte(`<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>`),
		"html": []byte("<!doctype html><script>alert(1)</script>"), "pdf": []byte("%PDF-1.4\n"),
		"half": picture.Bytes()[:20], "latin": []byte("Z\xfcrich, a city in Switzerland"),
	}
	large := keepContents(t, contents)
	e := newEnv(t)
	files := e.oidOf("shop", "files")
	for name, content := range contents {
		for _, path := range []string{
			files + "/cell?column=2&key=" + url.QueryEscape(`["`+name+`"]`), shop + "/large-objects/" + large[name] + "?",
		} {
			a := e.call("GET", path+"&as=binary&offset=0&length=1000", nil, 200, nil)
			if want := content[:min(1000, len(content))]; !bytes.Equal(a.body, want) || a.header.Get("X-Snapview-Bytes") != fmt.Sprint(len(content)) {
				t.Errorf("%s: %d bytes, headers %v", path, len(a.body), a.header)
			}
			look := a.header.Get("X-Snapview-Look") + " " + a.header.Get("X-Snapview-Charset")
			want := map[string]string{"picture": "image ", "half": "image ", "json": "json utf-8", "svg": "xml utf-8", "html": "xml utf-8", "pdf": "pdf ", "latin": "text windows-1252"}[name]
			if want == "" {
				want = "text utf-8"
			}
			if look != want || a.header.Get("Content-Type") != "application/octet-stream" || a.header.Get("X-Content-Type-Options") != "nosniff" {
				t.Errorf("%s looks like %q, want %q; %v", path, look, want, a.header)
			}
			if name != "picture" {
				e.refused("GET", path+"&as=image", nil, 422, "not-supported")
				continue
			}
			a = e.call("GET", path+"&as=image", nil, 200, nil)
			if h := a.header; !bytes.Equal(a.body, content) || h.Get("Content-Type") != "image/png" || h.Get("X-Snapview-Pixels") != "20x10" ||
				!strings.Contains(h.Get("Content-Security-Policy"), "sandbox") || h.Get("X-Content-Type-Options") != "nosniff" {
				t.Errorf("%s as a picture: %v", path, h)
			}
		}
	}
	// Piece by piece it is the whole.
	cell := files + "/cell?column=2&key=" + url.QueryEscape(`["long"]`)
	for _, path := range []string{cell, shop + "/large-objects/" + large["long"] + "?"} {
		var whole []byte
		for at := 0; at < len(long); at += 100_000 {
			whole = append(whole, e.call("GET", fmt.Sprintf("%s&as=binary&offset=%d&length=100000", path, at), nil, 200, nil).body...)
		}
		if !bytes.Equal(whole, long) {
			t.Errorf("%s: the pieces are not the whole", path)
		}
		if a := e.call("GET", path+"&as=binary&offset=1099511627776&length=10", nil, 200, nil); len(a.body) != 0 {
			t.Errorf("%s: %d bytes behind the end", path, len(a.body))
		}
		e.refused("GET", path+"&as=binary&length=1048577", nil, 400, "bad-request")
		e.refused("GET", path+"&as=html", nil, 400, "bad-request")
		e.refused("GET", path+"&offset=-1&as=binary", nil, 400, "bad-request")
	}
	for _, as := range []string{"binary", "image", "binary&offset=0"} {
		e.call("GET", files+"/cell?column=2&key="+url.QueryEscape(`["null"]`)+"&as="+as, nil, 204, nil)
	}
	e.refused("GET", files+"/cell?column=1&as=image&key="+url.QueryEscape(`["json"]`), nil, 400, "bad-request")
	e.refused("GET", shop+"/large-objects/"+large["json"]+"?as=text", nil, 400, "bad-request")
}
