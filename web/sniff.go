package web

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"image"
	_ "image/gif" // their headers are read by image.DecodeConfig
	_ "image/jpeg"
	_ "image/png"
	"io"
	"net/http"
	"unicode/utf8"
)

// A look is what bytes that are kept in a database seem to be. It decides how
// the page shows them, never how a browser treats them.
type look string

const (
	lookImage  look = "image" // one of imageTypes
	lookPDF    look = "pdf"
	lookJSON   look = "json"
	lookXML    look = "xml" // and HTML and SVG: shown as text
	lookText   look = "text"
	lookBinary look = "binary"
)

// imageTypes are sent as what they are. SVG is none of them: it is a document
// that may hold script.
var imageTypes = map[string]bool{"image/png": true, "image/jpeg": true, "image/gif": true, "image/webp": true}

// sniffed is what the beginning of a content tells.
type sniffed struct {
	look    look
	media   string
	charset string // of a text, as the WHATWG Encoding Standard names it
}

// sniffBytes is how much of a content sniff is shown.
const sniffBytes = 4096

// sniff looks at the beginning of a content; whole says that it is all of it.
func sniff(head []byte, whole bool) sniffed {
	media := http.DetectContentType(head)
	switch {
	case imageTypes[media]:
		return sniffed{lookImage, media, ""}
	case media == "application/pdf":
		return sniffed{lookPDF, media, ""}
	}
	charset := charsetOf(head, whole)
	if charset == "" {
		return sniffed{lookBinary, media, ""}
	}
	text := bytes.TrimLeft(bytes.TrimPrefix(head, []byte("\xef\xbb\xbf")), " \t\r\n")
	switch {
	case len(text) == 0 || charset != "utf-8":
	case (text[0] == '{' || text[0] == '[') && beginsJSON(text, whole):
		return sniffed{lookJSON, "application/json", charset}
	case text[0] == '<' && len(text) > 1 && (text[1] == '?' || text[1] == '!' || text[1]|0x20 >= 'a' && text[1]|0x20 <= 'z'):
		return sniffed{lookXML, "application/xml", charset}
	}
	return sniffed{lookText, "text/plain", charset}
}

// charsetOf guesses the encoding of a text, or says that it is none. UTF-8 and
// a byte order mark are certain; the rest goes by what texts are like.
func charsetOf(head []byte, whole bool) string {
	switch {
	case len(head) == 0:
		return "utf-8"
	case bytes.HasPrefix(head, []byte{0xff, 0xfe}):
		return "utf-16le"
	case bytes.HasPrefix(head, []byte{0xfe, 0xff}):
		return "utf-16be"
	}
	if !whole { // a character may be cut in two at the end
		for i := 1; i < utf8.UTFMax && i <= len(head); i++ {
			if tail := head[len(head)-i:]; utf8.RuneStart(tail[0]) {
				if !utf8.FullRune(tail) {
					head = head[:len(head)-i]
				}
				break
			}
		}
	}
	var controls, zeroEven, zeroOdd, high int
	for i, b := range head {
		switch {
		case b == 0 && i%2 == 0:
			zeroEven++
		case b == 0:
			zeroOdd++
		case b < ' ' && b != '\t' && b != '\n' && b != '\r' && b != '\f' && b != 0x1b, b == 0x7f:
			controls++
		case b >= 0x80:
			high++
		}
	}
	half := len(head) / 2
	switch {
	case controls == 0 && zeroEven == 0 && zeroOdd > half*3/4 && len(head) >= 8:
		return "utf-16le"
	case controls == 0 && zeroOdd == 0 && zeroEven > half*3/4 && len(head) >= 8:
		return "utf-16be"
	case controls+zeroEven+zeroOdd > 0:
		return ""
	case utf8.Valid(head):
		return "utf-8"
	case high*3 < len(head):
		return "windows-1252" // letters of western Europe between many of ASCII
	}
	return ""
}

// beginsJSON says whether a text is JSON as far as it goes.
func beginsJSON(text []byte, whole bool) bool {
	if whole {
		return json.Valid(text)
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	for tokens := 0; ; tokens++ {
		_, err := d.Token()
		if err == nil {
			continue
		}
		// The end may be in the middle of anything but at the very start.
		return tokens > 0 && (errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || d.InputOffset() > int64(len(text)-64))
	}
}

// maxPixels is how large a picture may be that a browser is given: it unpacks
// all of it, however few bytes it came in.
const maxPixels = 50_000_000

// imageSize returns the type and the size of a picture of imageTypes in pixels.
func imageSize(content []byte) (media string, width, height int, err error) {
	media = http.DetectContentType(content)
	if !imageTypes[media] {
		return "", 0, 0, errors.New("it is no PNG, JPEG, GIF or WebP")
	}
	if media == "image/webp" {
		width, height = webpSize(content)
	} else if c, _, err := image.DecodeConfig(bytes.NewReader(content)); err == nil {
		width, height = c.Width, c.Height
	}
	switch {
	case width <= 0 || height <= 0:
		return "", 0, 0, errors.New("its header is damaged")
	case int64(width)*int64(height) > maxPixels:
		return "", 0, 0, errors.New("it has too many pixels to be shown")
	}
	return media, width, height, nil
}

// webpSize reads the canvas of a WebP file (RFC 9649, sections 2.5 to 2.7): the
// first chunk is VP8X, VP8L or VP8. Zero when the header is none.
func webpSize(b []byte) (width, height int) {
	if len(b) < 30 {
		return 0, 0
	}
	switch string(b[12:16]) {
	case "VP8X":
		return 1 + int(b[24]) + int(b[25])<<8 + int(b[26])<<16, 1 + int(b[27]) + int(b[28])<<8 + int(b[29])<<16
	case "VP8L":
		if b[20] != 0x2f {
			return 0, 0
		}
		bits := binary.LittleEndian.Uint32(b[21:])
		return 1 + int(bits&0x3fff), 1 + int(bits>>14&0x3fff)
	case "VP8 ":
		if b[23] != 0x9d || b[24] != 0x01 || b[25] != 0x2a {
			return 0, 0
		}
		return int(binary.LittleEndian.Uint16(b[26:])) & 0x3fff, int(binary.LittleEndian.Uint16(b[28:])) & 0x3fff
	}
	return 0, 0
}
