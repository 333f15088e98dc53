package pki

import (
	"os"
	"testing"
	"time"
)

func TestALeafIsKeptUntilItsNamesChangeOrItEndsSoon(t *testing.T) {
	folder, now := Folder(t.TempDir()), time.Now()
	if err := folder.Authority("ca", now); err != nil {
		t.Fatal(err)
	}
	leaf := Leaf{Name: "s", Authority: "ca", CommonName: "s", Server: true, Names: []string{"127.0.0.1", "localhost"}}
	content := func(leaf Leaf, at time.Time) string {
		if err := folder.Ensure(leaf, at); err != nil {
			t.Fatal(err)
		}
		text, err := os.ReadFile(folder.Certificate("s"))
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	first := content(leaf, now)
	if content(leaf, now.Add(24*time.Hour)) != first {
		t.Error("a current certificate was made again")
	}
	moved := leaf
	moved.Names = []string{"127.0.0.1", "198.18.0.9"}
	second := content(moved, now)
	if second == first {
		t.Error("other names, same certificate")
	}
	if content(moved, now.Add(300*24*time.Hour)) == second {
		t.Error("a certificate that ends in 65 days was kept")
	}
	if info, err := os.Stat(folder.Key("s")); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v %v", info, err)
	}
}
