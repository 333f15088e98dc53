package settings

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
)

func read(t *testing.T, config string, arguments ...string) (Settings, error) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "config.yaml")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	return Read(file, arguments)
}

func TestConfigFileAndFlagsAreMerged(t *testing.T) {
	s, err := read(t, "node-name: box\nnode-label: [a=b]\nwrite-kubeconfig-mode: \"0640\"\nkubelet-arg: [max-pods=7]\ndisable: traefik,servicelb\n",
		"--node-label", "c=d", "--tls-san=198.18.0.1", "--https-listen-port", "7443")
	if err != nil {
		t.Fatal(err)
	}
	if s.NodeName != "box" || s.KubeconfigMode != 0o640 || s.Port != 7443 || s.PartArgs["kubelet"][0] != "--max-pods=7" {
		t.Errorf("%+v", s)
	}
	if !slices.Equal(s.NodeLabels, []string{"a=b", "c=d"}) || !slices.Equal(s.Disable, []string{"traefik", "servicelb"}) {
		t.Errorf("%+v", s)
	}
}

func TestWithoutAFileDefaultsHold(t *testing.T) {
	s, err := Read("/does/not/exist", nil)
	if err != nil || s.KubeconfigMode != 0o600 || s.DataDir != "/var/lib/rancher/k3s" || s.APIService() != "10.43.0.1" {
		t.Errorf("%+v %v", s, err)
	}
}

func TestWhatHasNoEffectIsNamedAndWhatIsUnknownIsRefused(t *testing.T) {
	s, err := read(t, "flannel-backend: none\nsecrets-encryption: true\n")
	if err != nil || !slices.Equal(s.Ignored, []string{"flannel-backend", "secrets-encryption"}) {
		t.Errorf("%+v %v", s.Ignored, err)
	}
	if _, err := read(t, "node-nmae: typo\n"); err == nil {
		t.Error("a misspelt key passed")
	}
	if _, err := read(t, "write-kubeconfig-mode: rw\n"); err == nil {
		t.Error("a file mode that is none passed")
	}
}
