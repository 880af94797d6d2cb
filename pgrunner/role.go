package pgrunner

import (
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
)

// Roles that clients log in with. A role of the same name in the backup gets
// out of the way of neither: ours then takes a number at the end.
const (
	readerRole = "snapview_reader"
	writerRole = "snapview_writer"
)

// scramIterations is PostgreSQL's default. The password is random, with more
// entropy than iterations could add.
const scramIterations = 4096

// scramVerifier returns what pg_authid holds of a password (RFC 5803, with
// PostgreSQL's separators), so that the password itself goes into no file and
// no log. The password must be ASCII, for which SASLprep changes nothing.
func scramVerifier(password string, salt []byte) (string, error) {
	salted, err := pbkdf2.Key(sha256.New, password, salt, scramIterations, sha256.Size)
	if err != nil {
		return "", fmt.Errorf("derive the password's verifier: %w", err)
	}
	mac := func(text string) []byte {
		h := hmac.New(sha256.New, salted)
		h.Write([]byte(text))
		return h.Sum(nil)
	}
	stored := sha256.Sum256(mac("Client Key"))
	b64 := base64.StdEncoding.EncodeToString
	return fmt.Sprintf("SCRAM-SHA-256$%d:%s$%s:%s",
		scramIterations, b64(salt), b64(stored[:]), b64(mac("Server Key"))), nil
}

// newPassword returns a password of 160 bits and its verifier.
func newPassword() (password, verifier string, err error) {
	password = rand.Text() + rand.Text()[:6]
	salt := make([]byte, 16)
	if _, err := rand.Read(salt); err != nil {
		return "", "", err
	}
	verifier, err = scramVerifier(password, salt)
	return password, verifier, err
}
