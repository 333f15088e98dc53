package main

import (
	"encoding/base64"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"headframe/lab/kubernetes/k3s/pki"
	"headframe/lab/kubernetes/k3s/settings"
)

const (
	configFile        = "/etc/rancher/k3s/config.yaml"
	defaultKubeconfig = "/etc/rancher/k3s/k3s.yaml"
)

func tlsFolder(data string) pki.Folder { return pki.Folder(filepath.Join(data, "server/tls")) }

// leaves are the certificates of the parts.
func leaves(s settings.Settings) []pki.Leaf {
	names := append([]string{"127.0.0.1", s.APIService(), s.NodeIP, "localhost", s.NodeName, "kubernetes", "kubernetes.default",
		"kubernetes.default.svc", "kubernetes.default.svc.cluster.local"}, s.TLSSANs...)
	for _, more := range []string{s.NodeExternalIP, s.AdvertiseAddress} {
		if more != "" {
			names = append(names, more)
		}
	}
	client := func(name, commonName, group string) pki.Leaf {
		return pki.Leaf{Name: name, Authority: "client-ca", CommonName: commonName, Organization: group}
	}
	return []pki.Leaf{
		{Name: "serving-kube-apiserver", Authority: "server-ca", CommonName: "kube-apiserver", Server: true, Names: unique(names)},
		{Name: "serving-kubelet", Authority: "server-ca", CommonName: s.NodeName, Server: true,
			Names: unique([]string{"127.0.0.1", s.NodeIP, s.NodeName})},
		client("client-admin", "system:admin", "system:masters"),
		client("client-controller", "system:kube-controller-manager", ""),
		client("client-scheduler", "system:kube-scheduler", ""),
		client("client-kube-proxy", "system:kube-proxy", ""),
		client("client-kubelet", "system:node:"+s.NodeName, "system:nodes"),
		client("client-kube-apiserver", "system:apiserver", "system:masters"),
		{Name: "client-auth-proxy", Authority: "request-header-ca", CommonName: "system:auth-proxy"},
	}
}

// makeCertificates makes what is missing or outdated.
func makeCertificates(s settings.Settings, now time.Time) error {
	folder := tlsFolder(s.DataDir)
	if err := os.MkdirAll(string(folder), 0o700); err != nil {
		return err
	}
	for _, name := range []string{"server-ca", "client-ca", "request-header-ca"} {
		if err := folder.Authority(name, now); err != nil {
			return err
		}
	}
	if err := folder.ServiceAccountKey("service"); err != nil {
		return err
	}
	for _, leaf := range leaves(s) {
		if err := folder.Ensure(leaf, now); err != nil {
			return err
		}
	}
	return nil
}

// writeKubeconfigs writes the administrator's kubeconfig and one per part.
func writeKubeconfigs(s settings.Settings) error {
	folder := credentials(s.DataDir)
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return err
	}
	for _, name := range []string{"client-admin", "client-controller", "client-scheduler", "client-kube-proxy", "client-kubelet"} {
		if err := writeKubeconfig(s, name, filepath.Join(folder, name+".kubeconfig"), 0o600); err != nil {
			return err
		}
	}
	if err := os.MkdirAll(filepath.Dir(s.Kubeconfig), 0o755); err != nil {
		return err
	}
	return writeKubeconfig(s, "client-admin", s.Kubeconfig, s.KubeconfigMode)
}

func credentials(data string) string { return filepath.Join(data, "server/cred") }

func writeKubeconfig(s settings.Settings, user, file string, mode os.FileMode) error {
	folder := tlsFolder(s.DataDir)
	var encoded []string
	for _, path := range []string{folder.Certificate("server-ca"), folder.Certificate(user), folder.Key(user)} {
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		encoded = append(encoded, base64.StdEncoding.EncodeToString(text))
	}
	text := fmt.Sprintf(`apiVersion: v1
clusters:
- cluster:
    certificate-authority-data: %s
    server: https://127.0.0.1:%d
  name: default
contexts:
- context:
    cluster: default
    user: default
  name: default
current-context: default
kind: Config
preferences: {}
users:
- name: default
  user:
    client-certificate-data: %s
    client-key-data: %s
`, encoded[0], s.Port, encoded[1], encoded[2])
	if err := os.WriteFile(file+".new", []byte(text), 0o600); err != nil {
		return err
	}
	if err := os.Chmod(file+".new", mode); err != nil {
		return err
	}
	return os.Rename(file+".new", file)
}

func rotateCertificates(arguments []string) error {
	if len(arguments) == 0 || arguments[0] != "rotate" {
		return fmt.Errorf("usage: k3s certificate rotate")
	}
	s, err := settings.Read(configFile, arguments[1:])
	if err != nil {
		return err
	}
	if err := tlsFolder(s.DataDir).Rotate(leaves(s)); err != nil {
		return err
	}
	fmt.Println("certificates removed; new ones are made at the next start: systemctl restart k3s")
	return nil
}

func unique(names []string) []string {
	seen := map[string]bool{}
	var out []string
	for _, name := range names {
		if !seen[name] {
			seen[name] = true
			out = append(out, name)
		}
	}
	return out
}
