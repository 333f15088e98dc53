// Command k3s is the lab's Kubernetes: one binary with every part of a single-node cluster and k3s's command surface.
// It is not k3s and says so in its version string. Container runtime, CNI plugins and etcd come from the machine.
package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"syscall"

	"k8s.io/component-base/cli"

	"headframe/lab/kubernetes/k3s/node"
)

const usage = `k3s (Headframe's lab Kubernetes; this is not k3s)
  server [flag...]         run the cluster of this machine
  kubectl, ctr [...]       clients
  certificate rotate       new certificates at the next start
  --version
  kube-apiserver, kube-controller-manager, kube-scheduler, kube-proxy, kubelet [flag...]`

func init() {
	// The kernel ends children with the thread that started them: the main goroutine keeps the main thread.
	runtime.LockOSThread()
}

func main() {
	if err := setVersion(); err != nil {
		fail(err)
	}
	name := filepath.Base(os.Args[0])
	if _, ok := parts[name]; !ok {
		if len(os.Args) < 2 {
			fmt.Println(usage)
			return
		}
		name, os.Args = os.Args[1], os.Args[1:]
	}
	if part, ok := parts[name]; ok {
		if name == "kubectl" && os.Getenv("KUBECONFIG") == "" {
			_ = os.Setenv("KUBECONFIG", defaultKubeconfig)
		}
		os.Exit(cli.Run(part()))
	}
	fail(command(name, os.Args[1:]))
}

func command(name string, arguments []string) error {
	switch name {
	case "server":
		return serve(arguments)
	case "--version", "-v", "version":
		// The third word is the version, as scripts for k3s expect.
		fmt.Printf("k3s version %s (Headframe's lab Kubernetes; this is not k3s)\n%s\n", labVersion, runtime.Version())
		return nil
	case "certificate":
		return rotateCertificates(arguments)
	case "ctr":
		client := node.Containers(arguments...)
		path, err := exec.LookPath(client.Path)
		if err != nil {
			return err
		}
		return syscall.Exec(path, client.Args, client.Environ())
	case "help", "--help", "-h":
		fmt.Println(usage)
		return nil
	}
	return fmt.Errorf("unknown command %q\n%s", name, usage)
}

func fail(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "k3s:", err)
		os.Exit(1)
	}
}
