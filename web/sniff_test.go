package web

import (
	"bytes"
	"encoding/hex"
	"image"
	"image/gif"
	"image/jpeg"
	"image/png"
	"strings"
	"testing"
	"unicode/utf16"
)

func encoded(t testing.TB, encode func(*bytes.Buffer, image.Image) error, width, height int) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := encode(&b, image.NewGray(image.Rect(0, 0, width, height))); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func utf16le(s string) []byte {
	var b []byte
	for _, u := range utf16.Encode([]rune(s)) {
		b = append(b, byte(u), byte(u>>8))
	}
	return b
}

// webp returns the beginning of a WebP file with one chunk.
func webp(t testing.TB, chunk string) []byte {
	t.Helper()
	b, err := hex.DecodeString(chunk)
	if err != nil {
		t.Fatal(err)
	}
	return append([]byte("RIFF\x40\x00\x00\x00WEBP"), append(b, make([]byte, 40)...)...)
}

func TestSniff(t *testing.T) {
	asPNG := func(b *bytes.Buffer, i image.Image) error { return png.Encode(b, i) }
	for name, c := range map[string]struct {
		head  []byte
		whole bool
		want  string
	}{
		"empty":                   {nil, true, "text utf-8"},
		"png":                     {encoded(t, asPNG, 3, 4), true, "image "},
		"pdf":                     {[]byte("%PDF-1.7\n%\xe2\xe3\xcf\xd3"), false, "pdf "},
		"object":                  {[]byte(" \n{\"a\": [1, 2]}"), true, "json utf-8"},
		"cut object":              {[]byte(`[{"a": "` + strings.Repeat("x", 300)), false, "json utf-8"},
		"object that is none":     {[]byte("{not json}" + strings.Repeat(" and so on", 50)), false, "text utf-8"},
		"svg is text":             {[]byte(`<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>`), true, "xml utf-8"},
		"html is text":            {[]byte("<!doctype html><script>alert(1)</script>"), true, "xml utf-8"},
		"a letter cut in two":     {[]byte("Ünï\xc3"), false, "text utf-8"},
		"the same, but whole":     {[]byte("some Unïc\xc3"), true, "text windows-1252"},
		"latin":                   {[]byte("M\xfcller and S\xf8nderg\xe5rd"), true, "text windows-1252"},
		"utf-16 with a mark":      {append([]byte{0xff, 0xfe}, utf16le("wide")...), true, "text utf-16le"},
		"utf-16 without":          {utf16le("wide letters"), true, "text utf-16le"},
		"zeros":                   {make([]byte, 100), true, "binary "},
		"zip":                     {[]byte("PK\x03\x04\x14\x00\x00\x00"), false, "binary "},
		"script behind a control": {[]byte("\x01<script>"), true, "binary "},
	} {
		s := sniff(c.head, c.whole)
		if got := string(s.look) + " " + s.charset; got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

func TestImageSize(t *testing.T) {
	for name, content := range map[string][]byte{
		"png":  encoded(t, func(b *bytes.Buffer, i image.Image) error { return png.Encode(b, i) }, 640, 480),
		"jpeg": encoded(t, func(b *bytes.Buffer, i image.Image) error { return jpeg.Encode(b, i, nil) }, 640, 480),
		"gif":  encoded(t, func(b *bytes.Buffer, i image.Image) error { return gif.Encode(b, i, nil) }, 640, 480),
		"webp": webp(t, "565038580a00000000000000"+"7f0200"+"df0100"),
		// 14 bits of each, less one, behind the signature 0x2f.
		"webp, lossless": webp(t, "5650384c20000000"+"2f"+"7fc27700"),
		"webp, lossy":    webp(t, "5650382020000000"+"000000"+"9d012a"+"8002"+"e001"),
	} {
		media, width, height, err := imageSize(content)
		if err != nil || width != 640 || height != 480 || !strings.HasPrefix(media, "image/"+strings.SplitN(name, ",", 2)[0]) {
			t.Errorf("%s: %s %d x %d, %v", name, media, width, height, err)
		}
	}
	big := webp(t, "565038580a00000000000000"+"ffff00"+"ffff00")
	for name, content := range map[string][]byte{
		"svg": []byte("<svg xmlns='http://www.w3.org/2000/svg'/>"), "html": []byte("<html>"), "nothing": nil, "half a png": []byte("\x89PNG\r\n\x1a\n\x00\x00"),
		"65536 x 65536": big, "bmp": []byte("BM\x00\x00\x00\x00"), "icon": []byte("\x00\x00\x01\x00"),
	} {
		if _, _, _, err := imageSize(content); err == nil {
			t.Errorf("%s would be shown", name)
		}
	}
}

// FuzzSniff holds both against any bytes: neither panics, and what is shown as
// a picture is of the few types and of a size that a browser can unpack.
func FuzzSniff(f *testing.F) {
	f.Add([]byte("\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR"), false)
	f.Add([]byte("RIFF\x40\x00\x00\x00WEBPVP8X\x0a\x00\x00\x00\x00\x00\x00\x00\x7f\x02\x00\xdf\x01\x00"), true)
	f.Add([]byte(`{"a":[`), false)
	f.Add([]byte("\xff\xfea\x00"), true)
	f.Fuzz(func(t *testing.T, content []byte, whole bool) {
		s := sniff(content[:min(len(content), sniffBytes)], whole)
		if s.look == "" || s.media == "" {
			t.Errorf("%+v", s)
		}
		media, width, height, err := imageSize(content)
		if err == nil && (!imageTypes[media] || width <= 0 || height <= 0 || width*height > maxPixels) {
			t.Errorf("%s of %d x %d", media, width, height)
		}
	})
}
