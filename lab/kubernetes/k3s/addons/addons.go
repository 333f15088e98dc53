// Package addons keeps server/manifests: what the cluster brings itself, and whatever else lies there, applied when it
// changes.
package addons

import (
	"bytes"
	"context"
	"embed"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"text/template"
	"time"
)

//go:embed coredns.yaml runtimes.yaml
var manifests embed.FS

const lookEvery = 3 * time.Second

// NotHere are parts of k3s that this stand-in lacks.
var NotHere = []string{"traefik", "servicelb", "local-storage", "metrics-server"}

// Write puts the cluster's own manifests into a folder and takes disabled ones away.
func Write(folder, clusterDNS string, disabled []string) error {
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return err
	}
	resolvers, _ := os.ReadFile("/etc/resolv.conf")
	values := map[string]any{"ClusterDNS": clusterDNS, "Forward": strings.Contains(string(resolvers), "nameserver ")}
	for _, name := range []string{"coredns", "runtimes"} {
		file := filepath.Join(folder, name+".yaml")
		if slices.Contains(disabled, name) {
			if err := os.Remove(file); err != nil && !os.IsNotExist(err) {
				return err
			}
			continue
		}
		parsed, err := template.ParseFS(manifests, name+".yaml")
		if err != nil {
			return err
		}
		var out bytes.Buffer
		if err := parsed.Execute(&out, values); err != nil {
			return err
		}
		if before, err := os.ReadFile(file); err == nil && bytes.Equal(before, out.Bytes()) {
			continue
		}
		if err := os.WriteFile(file, out.Bytes(), 0o600); err != nil {
			return err
		}
	}
	return nil
}

// Apply applies a folder's manifests now and whenever one of them changes, until the context ends.
func Apply(ctx context.Context, program, kubeconfig, folder string, say func(string, ...any)) {
	applied := ""
	for {
		if now := fingerprint(folder); now != applied {
			command := exec.CommandContext(ctx, program, "kubectl", "--kubeconfig", kubeconfig, "apply", "-f", folder)
			out, err := command.CombinedOutput()
			if err == nil {
				applied = now
			} else if ctx.Err() == nil {
				say("manifests of %s: %v: %s", folder, err, bytes.TrimSpace(out))
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(lookEvery):
		}
	}
}

func fingerprint(folder string) string {
	files, _ := filepath.Glob(filepath.Join(folder, "*.yaml"))
	var out strings.Builder
	for _, file := range files {
		if info, err := os.Stat(file); err == nil {
			fmt.Fprintf(&out, "%s %d %d\n", file, info.Size(), info.ModTime().UnixNano())
		}
	}
	return out.String()
}
