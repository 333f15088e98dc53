package main

import (
	"fmt"
	"path/filepath"
	"strings"
)

const (
	etcdClient = "http://127.0.0.1:2379"
	etcdPeer   = "http://127.0.0.1:2380"
	issuer     = "https://kubernetes.default.svc.cluster.local"
)

func (s *server) etcdFlags() []string {
	flags := []string{
		"--name=default", "--data-dir=" + filepath.Join(s.settings.DataDir, "server/db/etcd"),
		"--listen-client-urls=" + etcdClient, "--advertise-client-urls=" + etcdClient,
		"--listen-peer-urls=" + etcdPeer, "--initial-advertise-peer-urls=" + etcdPeer, "--initial-cluster=default=" + etcdPeer,
		"--log-level=warn", "--snapshot-count=10000", "--auto-compaction-retention=1",
	}
	return append(flags, s.settings.PartArgs["etcd"]...)
}

func (s *server) apiServerFlags() []string {
	tls := tlsFolder(s.settings.DataDir)
	advertise := s.settings.AdvertiseAddress
	if advertise == "" {
		advertise = s.settings.NodeIP
	}
	return []string{
		"--etcd-servers=" + etcdClient, fmt.Sprintf("--secure-port=%d", s.settings.Port), "--bind-address=0.0.0.0",
		"--advertise-address=" + advertise, "--endpoint-reconciler-type=lease",
		"--tls-cert-file=" + tls.Certificate("serving-kube-apiserver"), "--tls-private-key-file=" + tls.Key("serving-kube-apiserver"),
		"--client-ca-file=" + tls.Certificate("client-ca"), "--anonymous-auth=false",
		"--kubelet-certificate-authority=" + tls.Certificate("server-ca"),
		"--kubelet-client-certificate=" + tls.Certificate("client-kube-apiserver"),
		"--kubelet-client-key=" + tls.Key("client-kube-apiserver"),
		"--kubelet-preferred-address-types=InternalIP,ExternalIP,Hostname",
		"--service-account-key-file=" + tls.Key("service"), "--service-account-signing-key-file=" + tls.Key("service"),
		"--service-account-issuer=" + issuer, "--api-audiences=" + issuer + ",k3s",
		"--requestheader-client-ca-file=" + tls.Certificate("request-header-ca"),
		"--requestheader-allowed-names=system:auth-proxy", "--requestheader-username-headers=X-Remote-User",
		"--requestheader-group-headers=X-Remote-Group", "--requestheader-extra-headers-prefix=X-Remote-Extra-",
		"--proxy-client-cert-file=" + tls.Certificate("client-auth-proxy"), "--proxy-client-key-file=" + tls.Key("client-auth-proxy"),
		"--authorization-mode=Node,RBAC", "--enable-admission-plugins=NodeRestriction", "--allow-privileged=true",
		"--service-cluster-ip-range=" + s.settings.ServiceCIDR, "--service-node-port-range=" + s.settings.NodePorts,
		// Pods outlive the server, and without this it waits a minute at its end for those that watch it.
		"--shutdown-watch-termination-grace-period=1s",
	}
}

// ownKubeconfig are the flags by which a part finds the API server and checks who asks itself.
func (s *server) ownKubeconfig(name string) []string {
	file := s.kubeconfig(name)
	return []string{"--kubeconfig=" + file, "--authentication-kubeconfig=" + file, "--authorization-kubeconfig=" + file,
		"--bind-address=127.0.0.1", "--leader-elect=false"}
}

func (s *server) controllerFlags() []string {
	tls := tlsFolder(s.settings.DataDir)
	return append(s.ownKubeconfig("client-controller"),
		"--use-service-account-credentials=true", "--service-account-private-key-file="+tls.Key("service"),
		"--root-ca-file="+tls.Certificate("server-ca"), "--cluster-cidr="+s.settings.ClusterCIDR,
		"--service-cluster-ip-range="+s.settings.ServiceCIDR, "--allocate-node-cidrs=true",
		"--cluster-signing-cert-file="+tls.Certificate("client-ca"), "--cluster-signing-key-file="+tls.Key("client-ca"))
}

func (s *server) schedulerFlags() []string { return s.ownKubeconfig("client-scheduler") }

func (s *server) kubeletFlags(config string) []string {
	labels := append([]string{"node.kubernetes.io/instance-type=k3s"}, s.settings.NodeLabels...)
	flags := []string{
		"--config=" + config, "--kubeconfig=" + s.kubeconfig("client-kubelet"), "--hostname-override=" + s.settings.NodeName,
		"--node-ip=" + s.settings.NodeIP, "--cert-dir=" + filepath.Join(s.settings.DataDir, "agent/pki"),
		"--node-labels=" + strings.Join(labels, ","),
		"--cloud-provider=external", // addresses of the node are then ours to set: see keepNode
	}
	if len(s.settings.NodeTaints) > 0 {
		flags = append(flags, "--register-with-taints="+strings.Join(s.settings.NodeTaints, ","))
	}
	return flags
}

func (s *server) proxyFlags() []string {
	return []string{
		"--kubeconfig=" + s.kubeconfig("client-kube-proxy"), "--hostname-override=" + s.settings.NodeName,
		"--cluster-cidr=" + s.settings.ClusterCIDR, "--proxy-mode=iptables",
		// Limits of the whole machine, which a container may not set.
		"--conntrack-max-per-core=0", "--conntrack-min=0", "--conntrack-tcp-timeout-established=0", "--conntrack-tcp-timeout-close-wait=0",
		"--healthz-bind-address=127.0.0.1:10256", "--metrics-bind-address=127.0.0.1:10249",
	}
}
