// Package settings reads what k3s reads: /etc/rancher/k3s/config.yaml, config.yaml.d and the command line.
//
// Keys that this stand-in honours are in Settings; keys that it knows and cannot honour are reported, so that nobody
// takes silence for obedience; any other key is an error, as it is for k3s.
package settings

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"sort"
	"strconv"
	"strings"

	"sigs.k8s.io/yaml"
)

// Settings of one server, with k3s's defaults.
type Settings struct {
	NodeName, NodeIP, NodeExternalIP, AdvertiseAddress string
	DataDir, Kubeconfig, PrivateRegistry, PauseImage   string
	KubeconfigMode                                     os.FileMode
	ClusterCIDR, ServiceCIDR, ClusterDNS, NodePorts    string
	Port                                               int
	TLSSANs, NodeLabels, NodeTaints, Disable           []string
	PartArgs                                           map[string][]string
	DisableNetworkPolicy                               bool
	// Ignored names the keys that were given and have no effect here.
	Ignored []string
}

// keys that a list flag of k3s fills for one part, and the part.
var partKeys = map[string]string{
	"kubelet-arg": "kubelet", "kube-apiserver-arg": "kube-apiserver", "kube-scheduler-arg": "kube-scheduler",
	"kube-controller-manager-arg": "kube-controller-manager", "kube-proxy-arg": "kube-proxy", "etcd-arg": "etcd",
}

// keys of k3s that are accepted without effect: one node, one CNI plugin, no embedded registry.
var withoutEffect = map[string]bool{
	"flannel-backend": true, "flannel-iface": true, "token": true, "agent-token": true, "cluster-init": true,
	"secrets-encryption": true, "protect-kernel-defaults": true, "disable-cloud-controller": true, "debug": true,
	"default-local-storage-path": true, "embedded-registry": true, "snapshotter": true, "selinux": true, "v": true,
	"disable-helm-controller": true, "etcd-expose-metrics": true, "bind-address": true, "log": true, "alsologtostderr": true,
	"default-runtime": true, "resolv-conf": true, "etcd-disable-snapshots": true, "egress-selector-mode": true,
}

// Values of keys in the order they were given.
type values map[string][]string

// Read merges config file, config.yaml.d and command line; the last word counts for single values, lists grow.
func Read(configFile string, arguments []string) (Settings, error) {
	given := values{}
	files := []string{configFile}
	extra, err := filepath.Glob(configFile + ".d/*.yaml")
	if err != nil {
		return Settings{}, err
	}
	sort.Strings(extra)
	for _, file := range append(files, extra...) {
		if err := given.addFile(file); err != nil {
			return Settings{}, err
		}
	}
	if err := given.addArguments(arguments); err != nil {
		return Settings{}, err
	}
	return fromValues(given)
}

func (v values) addFile(file string) error {
	text, err := os.ReadFile(file)
	if os.IsNotExist(err) {
		return nil
	}
	if err != nil {
		return err
	}
	var parsed map[string]any
	if err := yaml.Unmarshal(text, &parsed); err != nil {
		return fmt.Errorf("%s is not YAML: %w", file, err)
	}
	for key, value := range parsed {
		list, ok := value.([]any)
		if !ok {
			list = []any{value}
		}
		for _, item := range list {
			v.add(strings.TrimSuffix(key, "+"), fmt.Sprint(item))
		}
	}
	return nil
}

func (v values) add(key, value string) { v[key] = append(v[key], value) }

func (v values) addArguments(arguments []string) error {
	for i := 0; i < len(arguments); i++ {
		if !strings.HasPrefix(arguments[i], "-") {
			return fmt.Errorf("argument %q is not a flag", arguments[i])
		}
		key, value, inline := strings.Cut(strings.TrimLeft(arguments[i], "-"), "=")
		switch {
		case inline:
		case i+1 < len(arguments) && !strings.HasPrefix(arguments[i+1], "-"):
			i++
			value = arguments[i]
		default:
			value = "true"
		}
		v.add(key, value)
	}
	return nil
}

func fromValues(given values) (Settings, error) {
	hostname, err := os.Hostname()
	if err != nil {
		return Settings{}, err
	}
	s := Settings{
		NodeName: hostname, DataDir: "/var/lib/rancher/k3s", Kubeconfig: "/etc/rancher/k3s/k3s.yaml",
		PrivateRegistry: "/etc/rancher/k3s/registries.yaml", PauseImage: "headframe.lab/pause:1", KubeconfigMode: 0o600,
		ClusterCIDR: "10.42.0.0/16", ServiceCIDR: "10.43.0.0/16", ClusterDNS: "10.43.0.10", NodePorts: "30000-32767",
		Port: 6443, PartArgs: map[string][]string{},
	}
	single := map[string]*string{
		"node-name": &s.NodeName, "node-ip": &s.NodeIP, "node-external-ip": &s.NodeExternalIP,
		"advertise-address": &s.AdvertiseAddress, "data-dir": &s.DataDir, "write-kubeconfig": &s.Kubeconfig,
		"private-registry": &s.PrivateRegistry, "pause-image": &s.PauseImage, "cluster-cidr": &s.ClusterCIDR,
		"service-cidr": &s.ServiceCIDR, "cluster-dns": &s.ClusterDNS, "service-node-port-range": &s.NodePorts,
	}
	lists := map[string]*[]string{
		"tls-san": &s.TLSSANs, "node-label": &s.NodeLabels, "node-taint": &s.NodeTaints, "disable": &s.Disable,
	}
	for key, all := range given {
		last := all[len(all)-1]
		switch {
		case single[key] != nil:
			*single[key] = last
		case lists[key] != nil:
			*lists[key] = splitAll(all)
		case partKeys[key] != "":
			s.PartArgs[partKeys[key]] = flags(all)
		case withoutEffect[key]:
			s.Ignored = append(s.Ignored, key)
		default:
			if err := s.special(key, last); err != nil {
				return s, err
			}
		}
	}
	sort.Strings(s.Ignored)
	return s, nil
}

func (s *Settings) special(key, value string) error {
	switch key {
	case "write-kubeconfig-mode":
		mode, err := strconv.ParseUint(value, 8, 12)
		if err != nil {
			return fmt.Errorf("write-kubeconfig-mode %q is not an octal file mode such as \"0600\"", value)
		}
		s.KubeconfigMode = os.FileMode(mode)
	case "https-listen-port":
		port, err := strconv.Atoi(value)
		if err != nil {
			return fmt.Errorf("https-listen-port %q is not a number", value)
		}
		s.Port = port
	case "disable-network-policy":
		s.DisableNetworkPolicy = value == "true"
	default:
		return fmt.Errorf("unknown setting %q: the lab's Kubernetes knows fewer settings than k3s", key)
	}
	return nil
}

func splitAll(all []string) []string {
	var out []string
	for _, value := range all {
		for _, item := range strings.Split(value, ",") {
			if item = strings.TrimSpace(item); item != "" {
				out = append(out, item)
			}
		}
	}
	return out
}

func flags(all []string) []string {
	out := make([]string, 0, len(all))
	for _, value := range all {
		out = append(out, "--"+strings.TrimLeft(value, "-"))
	}
	return out
}

// APIService is the address of the API server's own service: the first of the service network.
func (s Settings) APIService() string {
	prefix, err := netip.ParsePrefix(strings.Split(s.ServiceCIDR, ",")[0])
	if err != nil {
		return "10.43.0.1"
	}
	return prefix.Masked().Addr().Next().String()
}
