package nbdserver

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/snapview/snapview/block"
)

// makeCertificates fills a folder as nbdkit and libnbd have it: a CA, a
// server's and a client's certificate.
func makeCertificates(t *testing.T) (dir string) {
	t.Helper()
	dir = t.TempDir()
	put := func(name, kind string, der []byte) {
		t.Helper()
		b := pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var ca *x509.Certificate
	var caKey *ecdsa.PrivateKey
	issue := func(serial int64, name string, usage x509.ExtKeyUsage) {
		t.Helper()
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		c := &x509.Certificate{
			SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: name},
			NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
			KeyUsage: x509.KeyUsageDigitalSignature, BasicConstraintsValid: true,
			DNSNames: []string{"localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		}
		parent, signer := ca, caKey
		if ca == nil {
			c.IsCA, c.KeyUsage = true, x509.KeyUsageCertSign
			parent, signer, ca, caKey = c, key, c, key
		} else {
			c.ExtKeyUsage = []x509.ExtKeyUsage{usage}
		}
		der, err := x509.CreateCertificate(rand.Reader, c, parent, &key.PublicKey, signer)
		if err != nil {
			t.Fatal(err)
		}
		put(name+"-cert.pem", "CERTIFICATE", der)
		if der, err = x509.MarshalPKCS8PrivateKey(key); err != nil {
			t.Fatal(err)
		}
		put(name+"-key.pem", "PRIVATE KEY", der)
	}
	issue(1, "ca", 0)
	issue(2, "server", x509.ExtKeyUsageServerAuth)
	issue(3, "client", x509.ExtKeyUsageClientAuth)
	return dir
}

func clientTLS(t *testing.T, dir string, withCert bool) *tls.Config {
	t.Helper()
	pemCA, err := os.ReadFile(filepath.Join(dir, caCertFile))
	if err != nil {
		t.Fatal(err)
	}
	cfg := &tls.Config{RootCAs: x509.NewCertPool(), ServerName: "localhost"}
	cfg.RootCAs.AppendCertsFromPEM(pemCA)
	if withCert {
		cert, err := tls.LoadX509KeyPair(filepath.Join(dir, "client-cert.pem"), filepath.Join(dir, "client-key.pem"))
		if err != nil {
			t.Fatal(err)
		}
		cfg.Certificates = []tls.Certificate{cert}
	}
	return cfg
}

// secured negotiates TLS and returns the client inside it.
func secured(t *testing.T, nc net.Conn, cfg *tls.Config) *rawClient {
	t.Helper()
	c := greeted(t, nc)
	c.option(optStartTLS)
	c.expectReply(optStartTLS, repAck)
	session := tls.Client(nc, cfg)
	if err := session.Handshake(); err != nil {
		t.Fatal(err)
	}
	return &rawClient{t, session}
}

func TestTLS_RequiredAndVerified(t *testing.T) {
	dir := makeCertificates(t)
	cfg, err := LoadTLS(dir, true)
	if err != nil {
		t.Fatal(err)
	}
	const size = 4 << 20
	_, dial := serveDevices(t, Options{TLS: cfg, RequireTLS: true}, Export{Device: block.NewMemory(size)})

	c := greeted(t, dial())
	for _, id := range []uint32{optList, optInfo, optGo, optStructuredReply, optSetMetaContext} {
		c.option(id, goData(""))
		c.expectReply(id, repErrTLSRequired)
	}
	c.option(optAbort)
	c.expectReply(optAbort, repAck)

	c = greeted(t, dial())
	c.option(optExportName, "")
	c.expectEnd()

	c = secured(t, dial(), clientTLS(t, dir, true))
	c.option(optStartTLS)
	c.expectReply(optStartTLS, repErrInvalid)
	c.option(optGo, goData(""))
	c.expectReply(optGo, repAck)
	payload := make([]byte, 3<<20)
	copy(payload, "inside TLS")
	c.request(cmdWrite, 0, 1, 5, int64(len(payload)), payload)
	c.expectSimple(1, 0)
	c.request(cmdRead, 0, 2, 5, int64(len(payload)))
	c.expectSimple(2, 0)
	c.expect(payload)
	c.disconnect()

	// Without a certificate the client sees its handshake succeed (TLS 1.3)
	// and then the end.
	c = greeted(t, dial())
	c.option(optStartTLS)
	c.expectReply(optStartTLS, repAck)
	session := tls.Client(c.Conn, clientTLS(t, dir, false))
	if err := session.Handshake(); err == nil {
		if _, err = session.Read(make([]byte, 1)); err == nil {
			t.Error("a client without a certificate got in")
		}
	}
}

func TestTLS_OptionalForgetsWhatWasSaidInClear(t *testing.T) {
	dir := makeCertificates(t)
	cfg, err := LoadTLS(dir, false)
	if err != nil {
		t.Fatal(err)
	}
	_, dial := serveDevices(t, Options{TLS: cfg}, Export{Device: block.NewMemory(4096)})
	connect(t, dial(), "", false).disconnect()

	c := greeted(t, dial())
	c.option(optStructuredReply)
	c.expectReply(optStructuredReply, repAck)
	c.option(optStartTLS)
	c.expectReply(optStartTLS, repAck)
	session := tls.Client(c.Conn, clientTLS(t, dir, false))
	if err := session.Handshake(); err != nil {
		t.Fatal(err)
	}
	c = &rawClient{t, session}
	c.option(optSetMetaContext, encode(uint32(0), uint32(0)))
	c.expectReply(optSetMetaContext, repErrInvalid)
	c.option(optGo, goData(""))
	c.expectReply(optGo, repAck)
	c.request(cmdRead, 0, 1, 0, 4)
	c.expectSimple(1, 0) // not structured
	c.receive(4)
	c.disconnect()
}

// What an attacker puts behind STARTTLS in clear must not be taken as if it
// came inside.
func TestTLS_InjectedOptionsEndTheConnection(t *testing.T) {
	cfg, err := LoadTLS(makeCertificates(t), false)
	if err != nil {
		t.Fatal(err)
	}
	_, dial := serveDevices(t, Options{TLS: cfg}, Export{Device: block.NewMemory(4096)})
	c := greeted(t, dial())
	c.send(protocol16(optStartTLS), protocol16(optStructuredReply))
	c.expectEnd()
}

// protocol16 is an option without data.
func protocol16(id uint32) []byte {
	return encode(uint64(0x49484156454F5054), id, uint32(0))
}

func TestLoadTLS_SaysWhatIsMissing(t *testing.T) {
	dir := t.TempDir()
	if _, err := LoadTLS(dir, false); err == nil {
		t.Error("an empty folder was accepted")
	}
	dir = makeCertificates(t)
	if err := os.WriteFile(filepath.Join(dir, caCertFile), []byte("no certificate"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := LoadTLS(dir, true); err == nil {
		t.Error("a CA that is none was accepted")
	}
	if _, err := LoadTLS(dir, false); err != nil {
		t.Errorf("the CA is not needed without verification: %v", err)
	}
}
