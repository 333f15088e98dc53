package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"headframe/lab/kubernetes/k3s/addons"
	"headframe/lab/kubernetes/k3s/node"
	"headframe/lab/kubernetes/k3s/settings"
	"headframe/lab/kubernetes/k3s/supervise"
)

// stopOrder ends each part before the one it rests on.
var stopOrder = [][]string{
	{"kubelet", "kube-proxy", "kube-scheduler", "kube-controller-manager"}, {"kube-apiserver"}, {"containerd", "etcd"},
}

// server is one running cluster.
type server struct {
	settings settings.Settings
	program  string
	parts    *supervise.Parts
	started  time.Time
}

func (s *server) say(format string, arguments ...any) {
	fmt.Printf("k3s +%.1fs: %s\n", time.Since(s.started).Seconds(), fmt.Sprintf(format, arguments...))
}

// serve runs the cluster until a signal comes or a part ends. Pods outlive it.
func serve(arguments []string) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	s := &server{started: time.Now()}
	if err := s.prepare(arguments); err != nil {
		return err
	}
	defer s.parts.Stop(stopOrder...)
	if err := s.start(ctx); err != nil {
		return err
	}
	if err := notifyReady(); err != nil {
		return err
	}
	s.say("running")
	background, cancel := context.WithCancel(ctx)
	defer cancel()
	go addons.Apply(background, s.program, s.kubeconfig("client-admin"), s.manifests(), s.say)
	go keepNode(background, s)
	if !s.settings.DisableNetworkPolicy {
		go enforcePolicies(background, s)
	}
	select {
	case <-ctx.Done():
		s.say("stopping")
		return nil
	case exit := <-s.parts.Ended():
		return fmt.Errorf("%s ended: %v; its log ends:\n%s", exit.Part, exit.Err, exit.Tail)
	}
}

func (s *server) prepare(arguments []string) error {
	var err error
	if s.settings, err = settings.Read(configFile, arguments); err != nil {
		return err
	}
	if len(s.settings.Ignored) > 0 {
		s.say("without effect here: %s", strings.Join(s.settings.Ignored, ", "))
	}
	s.say("%s, Headframe's lab Kubernetes (not k3s); not in it: %s", labVersion, strings.Join(addons.NotHere, ", "))
	if s.program, err = os.Executable(); err != nil {
		return err
	}
	if s.settings.NodeIP, err = node.Address(s.settings.NodeIP); err != nil {
		return err
	}
	data := s.settings.DataDir
	for _, folder := range []string{"server/db/etcd", "agent/etc"} {
		if err := os.MkdirAll(filepath.Join(data, folder), 0o700); err != nil {
			return err
		}
	}
	if err := makeCertificates(s.settings, time.Now()); err != nil {
		return err
	}
	if err := node.WritePodNetwork(data, s.settings.ClusterCIDR); err != nil {
		return err
	}
	if err := addons.Write(s.manifests(), s.settings.ClusterDNS, s.settings.Disable); err != nil {
		return err
	}
	s.parts, err = supervise.New(filepath.Join(data, "logs"))
	return err
}

// start starts the parts in their order. The main goroutine starts them: see supervise.
func (s *server) start(ctx context.Context) error {
	containerd, err := node.WriteContainerd(s.settings.DataDir, s.settings.PauseImage, s.settings.PrivateRegistry)
	if err != nil {
		return err
	}
	if err := s.parts.Start("containerd", "containerd", "--config", containerd); err != nil {
		return err
	}
	if err := s.parts.Start("etcd", "etcd", s.etcdFlags()...); err != nil {
		return err
	}
	if err := s.startPart("kube-apiserver", s.apiServerFlags()); err != nil {
		return err
	}
	images := make(chan error, 1)
	go func() { images <- s.importImages(ctx) }()
	if err := s.waitForAPI(ctx); err != nil {
		return err
	}
	s.say("API server ready")
	if err := s.startPart("kube-controller-manager", s.controllerFlags()); err != nil {
		return err
	}
	if err := s.startPart("kube-scheduler", s.schedulerFlags()); err != nil {
		return err
	}
	if err := <-images; err != nil {
		return err
	}
	kubelet, err := node.WriteKubelet(s.settings.DataDir, s.settings.ClusterDNS)
	if err != nil {
		return err
	}
	if err := s.startPart("kubelet", s.kubeletFlags(kubelet)); err != nil {
		return err
	}
	return s.startPart("kube-proxy", s.proxyFlags())
}

func (s *server) startPart(name string, flags []string) error {
	return s.parts.Start(name, s.program, append(append([]string{name}, flags...), s.settings.PartArgs[name]...)...)
}

func (s *server) importImages(ctx context.Context) error {
	if err := node.WaitForRuntime(ctx); err != nil {
		return err
	}
	imported, err := node.ImportImages(s.settings.DataDir)
	if len(imported) > 0 {
		s.say("images imported: %s", strings.Join(imported, ", "))
	}
	return err
}

const apiTimeout = 120 * time.Second

func (s *server) waitForAPI(ctx context.Context) error {
	if err := writeKubeconfigs(s.settings); err != nil {
		return err
	}
	client, err := s.client()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, apiTimeout)
	defer cancel()
	for {
		answer := client.Discovery().RESTClient().Get().AbsPath("/readyz").Timeout(time.Second).Do(ctx)
		if answer.Error() == nil {
			return nil
		}
		select {
		case exit := <-s.parts.Ended():
			return fmt.Errorf("%s ended: %v; its log ends:\n%s", exit.Part, exit.Err, exit.Tail)
		case <-ctx.Done():
			return fmt.Errorf("the API server was not ready in time: %w", answer.Error())
		case <-time.After(100 * time.Millisecond):
		}
	}
}

func (s *server) manifests() string { return filepath.Join(s.settings.DataDir, "server/manifests") }
func (s *server) kubeconfig(name string) string {
	return filepath.Join(credentials(s.settings.DataDir), name+".kubeconfig")
}

// notifyReady tells systemd that the unit is up, where systemd asked.
func notifyReady() error {
	socket := os.Getenv("NOTIFY_SOCKET")
	if socket == "" {
		return nil
	}
	if socket[0] == '@' {
		socket = "\x00" + socket[1:]
	}
	connection, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: socket, Net: "unixgram"})
	if err != nil {
		return fmt.Errorf("systemd's notification socket: %w", err)
	}
	defer connection.Close()
	_, err = connection.Write([]byte("READY=1"))
	return err
}
