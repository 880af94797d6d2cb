package s3

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// alone clears the environment that addresses are completed from.
func alone(t testing.TB) {
	for _, k := range []string{"AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_REGION", "AWS_DEFAULT_REGION", "AWS_PROFILE"} {
		t.Setenv(k, "")
	}
	t.Setenv("AWS_CONFIG_FILE", "/nonexistent")
}

func TestParse(t *testing.T) {
	alone(t)
	for text, want := range map[string]Address{
		"s3://bucket":                                 {Bucket: "bucket"},
		"s3://bucket/":                                {Bucket: "bucket"},
		"s3://bucket/a/b.tar":                         {Bucket: "bucket", Key: "a/b.tar"},
		"s3://bucket/a//../b/":                        {Bucket: "bucket", Key: "b"},
		"s3://bucket/a?region=eu-central-1":           {Bucket: "bucket", Key: "a", Region: "eu-central-1"},
		"s3://bucket/a%20b":                           {Bucket: "bucket", Key: "a b"},
		"s3://bucket?endpoint=http://h:9000":          {Bucket: "bucket", Endpoint: "http://h:9000", PathStyle: true},
		"s3://bucket?endpoint=http://h:9000/":         {Bucket: "bucket", Endpoint: "http://h:9000/", PathStyle: true},
		"s3://bucket?endpoint=https://h&path-style=0": {Bucket: "bucket", Endpoint: "https://h"},
		"s3://bucket?path-style=1":                    {Bucket: "bucket", PathStyle: true},
	} {
		if got, err := Parse(text); err != nil || got != want {
			t.Errorf("%s: %+v, %v; want %+v", text, got, err, want)
		}
	}
	for _, text := range []string{
		"s3://", "s3:///a", "s3://b", "https://bucket/a", "s3://user:geheim@bucket/a", "s3://bucket:80/a", "s3://bucket?colour=red",
		"s3://bucket?endpoint=h:9000", "s3://bucket?endpoint=ftp://h", "s3://bucket?endpoint=http://u:geheim@h", "s3://bucket?endpoint=http://h/path",
		"s3://bucket?path-style=maybe", "s3://bu%ZZcket/",
	} {
		if got, err := Parse(text); err == nil || strings.Contains(err.Error(), "geheim") {
			t.Errorf("%s: %+v, %v", text, got, err)
		}
	}
}

func TestParse_Environment(t *testing.T) {
	alone(t)
	file := filepath.Join(t.TempDir(), "config")
	text := "[default]\nregion = r1\n[profile store]\nregion = r2\nendpoint_url = http://store:9000\ns3 =\n  addressing_style = path\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("AWS_CONFIG_FILE", file)
	if a, err := Parse("s3://bucket"); err != nil || a.Region != "r1" || a.Endpoint != "" || a.PathStyle {
		t.Errorf("%+v, %v", a, err)
	}
	t.Setenv("AWS_PROFILE", "store")
	if a, err := Parse("s3://bucket"); err != nil || a.Region != "r2" || a.Endpoint != "http://store:9000" || !a.PathStyle {
		t.Errorf("%+v, %v", a, err)
	}
	t.Setenv("AWS_REGION", "r3")
	t.Setenv("AWS_ENDPOINT_URL", "http://all:1")
	t.Setenv("AWS_ENDPOINT_URL_S3", "http://s3:2")
	if a, err := Parse("s3://bucket"); err != nil || a.Region != "r3" || a.Endpoint != "http://s3:2" {
		t.Errorf("%+v, %v", a, err)
	}
	if a, err := Parse("s3://bucket?region=r4&endpoint=http://x:3"); err != nil || a.Region != "r4" || a.Endpoint != "http://x:3" {
		t.Errorf("%+v, %v", a, err)
	}
}

func FuzzParse(f *testing.F) {
	alone(f)
	f.Add("s3://bucket/key?endpoint=https://h&region=r&path-style=1")
	f.Fuzz(func(t *testing.T, text string) {
		a, err := Parse(text)
		if err == nil && (a.Bucket == "" || strings.HasPrefix(a.Key, "/") || a.Key == ".." || strings.HasPrefix(a.Key, "../")) {
			t.Errorf("%q: %+v", text, a)
		}
	})
}

// Credentials that were asked for by name and cannot be had are an error; one
// must not find oneself anonymous.
func TestSecrets(t *testing.T) {
	for _, k := range []string{"AWS_ACCESS_KEY_ID", "AWS_ACCESS_KEY", "AWS_SECRET_ACCESS_KEY", "AWS_SECRET_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE",
		"AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "AWS_CONTAINER_CREDENTIALS_FULL_URI"} {
		t.Setenv(k, "")
	}
	file := filepath.Join(t.TempDir(), "credentials")
	if err := os.WriteFile(file, []byte("[store]\naws_access_key_id = k\naws_secret_access_key = s\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", file)
	t.Setenv("AWS_CONFIG_FILE", "/nonexistent")
	t.Setenv("AWS_EC2_METADATA_DISABLED", "true")
	if v, err := secrets().GetWithContext(nil); err != nil || !v.SignerType.IsAnonymous() {
		t.Errorf("without any: %v", err)
	}
	t.Setenv("AWS_PROFILE", "store")
	if v, err := secrets().GetWithContext(nil); err != nil || v.AccessKeyID != "k" {
		t.Errorf("from the file: %q, %v", v.AccessKeyID, err)
	}
	t.Setenv("AWS_PROFILE", "nobody")
	if _, err := secrets().GetWithContext(nil); err == nil || !strings.Contains(err.Error(), "nobody") {
		t.Errorf("a profile that is not there: %v", err)
	}
	t.Setenv("AWS_ACCESS_KEY_ID", "e")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "s")
	if v, err := secrets().GetWithContext(nil); err != nil || v.AccessKeyID != "e" {
		t.Errorf("from the environment: %q, %v", v.AccessKeyID, err)
	}
}
