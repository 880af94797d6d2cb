package web

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"strings"
)

// The cookie of a user who has a token is made from the token: a random part,
// and a MAC of it with the token's hash as the key. A server that was started
// anew with the same file of tokens therefore knows it, and one whose file no
// longer has the token does not. It tells nothing about the token.

const (
	userCookieRandom = 16 // bytes
	userCookieLabel  = "snapview login\x00"
)

var cookieText = base64.RawURLEncoding

func newUserCookie(token secretHash) string {
	var random [userCookieRandom]byte
	_, _ = rand.Read(random[:]) // never fails
	return cookieText.EncodeToString(random[:]) + "." + cookieText.EncodeToString(userCookieMAC(token, random[:]))
}

func userCookieMAC(token secretHash, random []byte) []byte {
	mac := hmac.New(sha256.New, token[:])
	mac.Write([]byte(userCookieLabel))
	mac.Write(random)
	return mac.Sum(nil)
}

// ofCookie returns whose cookie it is.
func (u userHashes) ofCookie(cookie string) (name string, ok bool) {
	first, second, ok := strings.Cut(cookie, ".")
	if !ok || len(cookie) > 100 {
		return "", false
	}
	random, err := cookieText.DecodeString(first)
	if err != nil || len(random) != userCookieRandom {
		return "", false
	}
	mac, err := cookieText.DecodeString(second)
	if err != nil {
		return "", false
	}
	for token, user := range u {
		if hmac.Equal(mac, userCookieMAC(token, random)) {
			return user, true
		}
	}
	return "", false
}
