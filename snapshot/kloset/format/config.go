package format

import (
	"time"

	"github.com/snapview/snapview/snapshot"
	"github.com/snapview/snapview/snapshot/kloset/msgpack"
)

// MaxConfig is the largest CONFIG that is read, bytes; real ones have 400 to
// 700.
const MaxConfig = 64 << 10

// MaxChunk is the largest chunk that is read, bytes. Plakar cuts files at
// 8 MiB at the latest.
const MaxChunk = 64 << 20

// A Config is a store's configuration. It is never encrypted.
type Config struct {
	Created     time.Time
	Repository  [16]byte
	Hashing     string
	Compression string // empty: none
	Encryption  *Encryption
	ChunkMax    int64 // bytes
}

// Encryption says how blobs are encrypted.
type Encryption struct {
	Subkey string // how the key of a blob is wrapped: "AES256-KW"
	Data   string // "AES256-GCM-SIV"
	Frame  int    // bytes of plain text in a frame
	Canary []byte // 32 random bytes, encrypted like a blob
	KDF    KDF
}

// KDF says how the key is derived from the passphrase.
type KDF struct {
	Name                  string // ARGON2ID, SCRYPT, PBKDF2
	Salt                  []byte
	Time, Memory, Threads uint64 // of Argon2id; memory in KiB
	N, R, P               uint64 // of scrypt
	Iterations            uint64 // of PBKDF2
	Hash                  string // of PBKDF2
	KeyLen                uint64 // bytes
}

// ParseConfig reads the payload of CONFIG.
func ParseConfig(payload []byte) (*Config, error) {
	c := &Config{}
	r := msgpack.NewReader(payload)
	r.Fields(func(key string) {
		switch key {
		case "Timestamp":
			c.Created = r.Time()
		case "RepositoryID":
			if id := r.Bytes(); len(id) == len(c.Repository) {
				copy(c.Repository[:], id)
			}
		case "Chunking":
			fields(r, map[string]func(){"MaxSize": func() { c.ChunkMax = r.Int() }})
		case "Hashing":
			fields(r, map[string]func(){"Algorithm": func() { c.Hashing = r.String() }})
		case "Compression":
			if !r.Nil() {
				fields(r, map[string]func(){"Algorithm": func() { c.Compression = r.String() }})
			}
		case "Encryption":
			if !r.Nil() {
				c.Encryption = parseEncryption(r)
			}
		default:
			r.Skip()
		}
	})
	if err := r.Err(); err != nil {
		return nil, snapshot.Errorf(snapshot.ErrDamaged, "the store's configuration: %w", err)
	}
	if c.Repository == [16]byte{} || c.Hashing == "" {
		return nil, snapshot.Errorf(snapshot.ErrDamaged, "the store's configuration names no repository or no hashing")
	}
	if c.ChunkMax <= 0 || c.ChunkMax > MaxChunk {
		return nil, snapshot.Errorf(snapshot.ErrUnsupported, "chunks of up to %d bytes; this build reads chunks of up to %d", c.ChunkMax, int64(MaxChunk))
	}
	return c, nil
}

func parseEncryption(r *msgpack.Reader) *Encryption {
	e := &Encryption{}
	fields(r, map[string]func(){
		"SubKeyAlgorithm": func() { e.Subkey = r.String() },
		"DataAlgorithm":   func() { e.Data = r.String() },
		"ChunkSize":       func() { e.Frame = int(r.Int()) },
		"Canary":          func() { e.Canary = r.Bytes() },
		"KDFParams": func() {
			k := &e.KDF
			number := func(v *uint64) func() { return func() { *v = r.Uint() } }
			params := func() {
				if r.Nil() {
					return
				}
				fields(r, map[string]func(){
					"Time": number(&k.Time), "Memory": number(&k.Memory), "Threads": number(&k.Threads),
					"N": number(&k.N), "R": number(&k.R), "P": number(&k.P),
					"Iterations": number(&k.Iterations), "KeyLen": number(&k.KeyLen),
					"Hashing": func() { k.Hash = r.String() },
				})
			}
			fields(r, map[string]func(){
				"KDF": func() { k.Name = r.String() }, "Salt": func() { k.Salt = r.Bytes() },
				"argon2id": params, "scrypt": params, "pbkdf2": params,
			})
		},
	})
	return e
}

// fields reads a map by its known keys.
func fields(r *msgpack.Reader, known map[string]func()) {
	r.Fields(func(key string) {
		if read := known[key]; read != nil {
			read()
		} else {
			r.Skip()
		}
	})
}
