package node

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"text/template"

	"sigs.k8s.io/yaml"
)

// Socket of the container runtime, where k3s has it.
const Socket = "/run/k3s/containerd/containerd.sock"

// nvidiaRuntime is used where a machine has it. The lab's hosts have no GPU and no such program: there the handler
// `nvidia` is runc, and a pod sees its simulated GPUs in NVIDIA_VISIBLE_DEVICES alone.
const nvidiaRuntime = "/usr/bin/nvidia-container-runtime"

// Registries is /etc/rancher/k3s/registries.yaml as far as it is honoured here.
type Registries struct {
	Mirrors map[string]struct {
		Endpoint []string `json:"endpoint"`
	} `json:"mirrors"`
	Configs map[string]struct {
		Auth *struct {
			Username string `json:"username"`
			Password string `json:"password"`
		} `json:"auth"`
		TLS *struct {
			InsecureSkipVerify bool   `json:"insecure_skip_verify"`
			CAFile             string `json:"ca_file"`
		} `json:"tls"`
	} `json:"configs"`
}

var containerdConfig = template.Must(template.New("containerd").Parse(`# Written by the lab's Kubernetes at each start.
version = 2
root = "{{.Data}}/agent/containerd"
state = "/run/k3s/containerd"
oom_score = 0
[grpc]
  address = "` + Socket + `"
[plugins."io.containerd.grpc.v1.cri"]
  restrict_oom_score_adj = true
  sandbox_image = "{{.Pause}}"
  disable_apparmor = true
  stream_server_address = "127.0.0.1"
  stream_server_port = "0"
[plugins."io.containerd.grpc.v1.cri".cni]
  bin_dir = "/usr/lib/cni"
  conf_dir = "{{.Data}}/agent/etc/cni/net.d"
[plugins."io.containerd.grpc.v1.cri".containerd]
  snapshotter = "overlayfs"
  default_runtime_name = "runc"
{{- range $name, $binary := .Runtimes}}
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.{{$name}}]
  runtime_type = "io.containerd.runc.v2"
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.{{$name}}.options]
  SystemdCgroup = false
  BinaryName = "{{$binary}}"
{{- end}}
[plugins."io.containerd.grpc.v1.cri".registry]
  config_path = "{{.Data}}/agent/etc/containerd/certs.d"
{{- range $host, $config := .Configs}}{{with $config.Auth}}
[plugins."io.containerd.grpc.v1.cri".registry.configs.{{printf "%q" $host}}.auth]
  username = {{printf "%q" .Username}}
  password = {{printf "%q" .Password}}
{{- end}}{{end}}
`))

// WriteContainerd writes the runtime's configuration (mode 0600: it may hold registry passwords) and returns its path.
func WriteContainerd(data, pause, registriesFile string) (string, error) {
	var registries Registries
	text, err := os.ReadFile(registriesFile)
	if err != nil && !os.IsNotExist(err) {
		return "", err
	}
	if err := yaml.Unmarshal(text, &registries); err != nil {
		return "", fmt.Errorf("%s: %w", registriesFile, err)
	}
	runtimes := map[string]string{"runc": "runc", "nvidia": "runc"}
	if _, err := os.Stat(nvidiaRuntime); err == nil {
		runtimes["nvidia"] = nvidiaRuntime
	}
	var out bytes.Buffer
	values := map[string]any{"Data": data, "Pause": pause, "Runtimes": runtimes, "Configs": registries.Configs}
	if err := containerdConfig.Execute(&out, values); err != nil {
		return "", err
	}
	folder := filepath.Join(data, "agent/etc/containerd")
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return "", err
	}
	if err := writeMirrors(filepath.Join(folder, "certs.d"), registries); err != nil {
		return "", err
	}
	file := filepath.Join(folder, "config.toml")
	return file, os.WriteFile(file, out.Bytes(), 0o600)
}

func writeMirrors(folder string, registries Registries) error {
	if err := os.RemoveAll(folder); err != nil {
		return err
	}
	for host, mirror := range registries.Mirrors {
		name := host
		if host == "*" {
			name = "_default"
		}
		if err := os.MkdirAll(filepath.Join(folder, name), 0o700); err != nil {
			return err
		}
		var out bytes.Buffer
		for _, endpoint := range mirror.Endpoint {
			fmt.Fprintf(&out, "[host.%q]\n  capabilities = [\"pull\", \"resolve\"]\n", endpoint)
			if tls := registries.Configs[host].TLS; tls != nil {
				fmt.Fprintf(&out, "  skip_verify = %v\n", tls.InsecureSkipVerify)
				if tls.CAFile != "" {
					fmt.Fprintf(&out, "  ca = %q\n", tls.CAFile)
				}
			}
		}
		if err := os.WriteFile(filepath.Join(folder, name, "hosts.toml"), out.Bytes(), 0o600); err != nil {
			return err
		}
	}
	return nil
}

// Containers runs the runtime's own client on the cluster's images and containers. The namespace goes into the
// environment: a caller may still name it, as with k3s, and the client refuses an option that comes twice.
func Containers(arguments ...string) *exec.Cmd {
	command := exec.Command("ctr", append([]string{"--address", Socket}, arguments...)...)
	command.Env = append(os.Environ(), "CONTAINERD_NAMESPACE=k8s.io")
	return command
}
