package node

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// LabImages is where a lab host sees the archives of the images that the cluster itself needs.
const LabImages = "/opt/headframe-lab/k3s/images"

const runtimeTimeout = 60 * time.Second

// WaitForRuntime waits until the container runtime answers.
func WaitForRuntime(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, runtimeTimeout)
	defer cancel()
	for {
		if Containers("version").Run() == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("containerd does not answer on %s", Socket)
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// ImportImages loads the archives of agent/images and of the lab's own folder that were not loaded before. An archive
// counts as another when its size or time changed.
func ImportImages(data string) (imported []string, err error) {
	records := filepath.Join(data, "agent/images-imported")
	if err := os.MkdirAll(records, 0o700); err != nil {
		return nil, err
	}
	for _, folder := range []string{LabImages, filepath.Join(data, "agent/images")} {
		archives, err := filepath.Glob(filepath.Join(folder, "*.tar"))
		if err != nil {
			return imported, err
		}
		for _, archive := range archives {
			done, err := importOne(records, archive)
			if err != nil {
				return imported, err
			}
			if done {
				imported = append(imported, filepath.Base(archive))
			}
		}
	}
	return imported, nil
}

func importOne(records, archive string) (bool, error) {
	info, err := os.Stat(archive)
	if err != nil {
		return false, err
	}
	record := filepath.Join(records, fmt.Sprintf("%s.%d.%d", info.Name(), info.Size(), info.ModTime().Unix()))
	if _, err := os.Stat(record); err == nil {
		return false, nil
	}
	if out, err := Containers("images", "import", archive).CombinedOutput(); err != nil {
		return false, fmt.Errorf("import of %s: %w: %s", archive, err, out)
	}
	return true, os.WriteFile(record, nil, 0o600)
}
