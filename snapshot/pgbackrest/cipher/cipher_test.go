package cipher

import (
	"bytes"
	"crypto/aes"
	stdcipher "crypto/cipher"
	"errors"
	"io"
	"math/rand/v2"
	"os/exec"
	"strings"
	"testing"

	"github.com/snapview/snapview/snapshot/snapshottest"
)

// encrypt is the inverse of Decrypt.
func encrypt(plain, pass []byte, raw bool) []byte {
	salt := []byte("saltsalt")
	b, iv := key(pass, salt)
	n := aes.BlockSize - len(plain)%aes.BlockSize
	data := append(bytes.Clone(plain), bytes.Repeat([]byte{byte(n)}, n)...)
	stdcipher.NewCBCEncrypter(b, iv).CryptBlocks(data, data)
	head := append([]byte(magic), salt...)
	if raw {
		head = salt
	}
	return append(head, data...)
}

func TestOpenSSL(t *testing.T) {
	plain := bytes.Repeat([]byte("what openssl enc writes\n"), 1000)
	cmd := exec.Command(snapshottest.Tool(t, "openssl"), "enc", "-aes-256-cbc", "-md", "sha1", "-pass", "pass:sesame")
	cmd.Stdin = bytes.NewReader(plain)
	data, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	if got, err := Decrypt(data, []byte("sesame")); err != nil || !bytes.Equal(got, plain) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
}

func TestFile_ReadAt(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 1))
	for _, size := range []int{0, 1, 15, 16, 17, 100, 4096, 4097} {
		plain := make([]byte, size)
		for i := range plain {
			plain[i] = byte(rnd.Int())
		}
		for _, raw := range []bool{false, true} {
			data := encrypt(plain, []byte("k"), raw)
			f, err := Open(bytes.NewReader(data), int64(len(data)), []byte("k"))
			if err != nil || f.Size() != int64(size) {
				t.Fatalf("%d bytes, raw %v: %v", size, raw, err)
			}
			for range 50 {
				off, n := rnd.IntN(size+20), rnd.IntN(size+20)
				p := make([]byte, n)
				k, err := f.ReadAt(p, int64(off))
				want := plain[min(off, size):min(off+n, size)]
				if !bytes.Equal(p[:k], want) || (k < n) != errors.Is(err, io.EOF) && n > 0 {
					t.Fatalf("%d bytes, raw %v: ReadAt(%d, %d) = %d, %v", size, raw, n, off, k, err)
				}
			}
			if got, err := Decrypt(bytes.Clone(data), []byte("k")); err != nil || !bytes.Equal(got, plain) {
				t.Errorf("%d bytes, raw %v: %v", size, raw, err)
			}
		}
	}
}

func TestRefusesDamage(t *testing.T) {
	data := encrypt([]byte(strings.Repeat("x", 100)), []byte("k"), false)
	for i := range data {
		f, err := Open(bytes.NewReader(data[:i]), int64(i), []byte("k"))
		_, err2 := Decrypt(bytes.Clone(data[:i]), []byte("k"))
		if err == nil && f.Size() == 100 || err2 == nil && f == nil {
			t.Errorf("cut to %d bytes: %v, %v", i, err, err2)
		}
	}
	wrong := 0
	for c := range byte(100) {
		if _, err := Decrypt(bytes.Clone(data), []byte{c}); errors.Is(err, ErrKey) {
			wrong++
		}
	}
	if wrong < 90 { // a wrong key gives a valid padding once in 250
		t.Errorf("of 100 wrong keys %d were noticed", wrong)
	}
}
