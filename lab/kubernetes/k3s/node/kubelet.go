package node

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"text/template"
)

// CapacityFile says how much of the machine a lab host may give to pods; written where the host was booted.
const CapacityFile = "/etc/headframe-lab/capacity.json"

// Settings that matter in a container without CAP_SYS_RESOURCE are marked; the others are k3s's.
var kubeletConfig = template.Must(template.New("kubelet").Parse(`# Written by the lab's Kubernetes at each start.
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
authentication:
  anonymous: {enabled: false}
  webhook: {enabled: true}
  x509: {clientCAFile: "{{.Data}}/server/tls/client-ca.crt"}
authorization: {mode: Webhook}
tlsCertFile: "{{.Data}}/server/tls/serving-kubelet.crt"
tlsPrivateKeyFile: "{{.Data}}/server/tls/serving-kubelet.key"
containerRuntimeEndpoint: "unix://` + Socket + `"
cgroupDriver: cgroupfs
enforceNodeAllocatable: []            # container
featureGates: {KubeletInUserNamespace: true}  # container
failSwapOn: false                     # container
failCgroupV1: false                   # container
oomScoreAdj: 0                        # container
kubeletCgroups: /k3s-kubelet          # container
maxOpenFiles: 20000                   # container
systemReserved: {cpu: "{{.ReservedMillicores}}m", memory: "{{.ReservedMiB}}Mi"}
evictionHard: {"nodefs.available": "1%", "imagefs.available": "1%", "memory.available": "50Mi"}
imageGCHighThresholdPercent: 100      # imported images cannot be pulled again
imageGCLowThresholdPercent: 99
clusterDNS: ["{{.ClusterDNS}}"]
clusterDomain: cluster.local
resolvConf: /etc/resolv.conf
staticPodPath: "{{.Data}}/agent/pod-manifests"
syncFrequency: 15s
configMapAndSecretChangeDetectionStrategy: Watch
registerWithTaints: []
logging: {verbosity: 1}
`))

// WriteKubelet writes the kubelet's configuration and returns its path.
func WriteKubelet(data, clusterDNS string) (string, error) {
	if err := os.MkdirAll(filepath.Join(data, "agent/pod-manifests"), 0o700); err != nil {
		return "", err
	}
	millicores, mebibytes, err := reserved()
	if err != nil {
		return "", err
	}
	var out bytes.Buffer
	values := map[string]any{"Data": data, "ClusterDNS": clusterDNS, "ReservedMillicores": millicores, "ReservedMiB": mebibytes}
	if err := kubeletConfig.Execute(&out, values); err != nil {
		return "", err
	}
	file := filepath.Join(data, "agent/etc/kubelet.yaml")
	return file, os.WriteFile(file, out.Bytes(), 0o600)
}

// reserved is what the machine has above this host's share: each kubelet sees the whole machine.
func reserved() (millicores, mebibytes int, err error) {
	text, err := os.ReadFile(CapacityFile)
	if os.IsNotExist(err) {
		return 0, 0, nil
	}
	if err != nil {
		return 0, 0, err
	}
	var share struct {
		CPUs      float64 `json:"cpus"`
		MemoryMiB int     `json:"memory_mib"`
	}
	if err := json.Unmarshal(text, &share); err != nil {
		return 0, 0, fmt.Errorf("%s: %w", CapacityFile, err)
	}
	total, err := machineMemoryMiB()
	if err != nil {
		return 0, 0, err
	}
	return max(0, runtime.NumCPU()*1000-int(share.CPUs*1000)), max(0, total-share.MemoryMiB), nil
}

func machineMemoryMiB() (int, error) {
	file, err := os.Open("/proc/meminfo")
	if err != nil {
		return 0, err
	}
	defer file.Close()
	lines := bufio.NewScanner(file)
	for lines.Scan() {
		var kibibytes int
		if _, err := fmt.Sscanf(lines.Text(), "MemTotal: %d kB", &kibibytes); err == nil {
			return kibibytes / 1024, nil
		}
	}
	return 0, fmt.Errorf("/proc/meminfo names no MemTotal")
}

// WritePodNetwork writes the CNI configuration: one bridge for the pods of this one node, out by masquerade.
func WritePodNetwork(data, clusterCIDR string) error {
	subnet, err := firstSubnet(clusterCIDR)
	if err != nil {
		return err
	}
	folder := filepath.Join(data, "agent/etc/cni/net.d")
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return err
	}
	plugins := `{"cniVersion":"0.4.0","name":"headframe-lab","plugins":[` +
		`{"type":"bridge","bridge":"` + podBridge + `","isGateway":true,"ipMasq":true,"hairpinMode":true,` +
		`"ipam":{"type":"host-local","ranges":[[{"subnet":"` + subnet + `"}]],"routes":[{"dst":"0.0.0.0/0"}]}},` +
		`{"type":"portmap","capabilities":{"portMappings":true}}]}`
	if err := os.WriteFile(filepath.Join(folder, "10-headframe-lab.conflist"), []byte(plugins), 0o600); err != nil {
		return err
	}
	// Traffic between two pods of one bridge must pass the firewall: services and network policies are rules there.
	const bridged = "/proc/sys/net/bridge/bridge-nf-call-iptables"
	if _, err := os.Stat(bridged); err != nil {
		return fmt.Errorf("%s is not there; load the module: modprobe br_netfilter", bridged)
	}
	return os.WriteFile(bridged, []byte("1"), 0o600)
}

func firstSubnet(cidr string) (string, error) {
	address, _, err := net.ParseCIDR(strings.Split(cidr, ",")[0])
	if err != nil || address.To4() == nil {
		return "", fmt.Errorf("cluster-cidr %q is not an IPv4 network", cidr)
	}
	return address.String() + "/24", nil
}
