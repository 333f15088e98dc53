// Command simulated-gpus is a kubelet device plugin that reports nvidia.com/gpu devices which do not exist, and labels
// its node as the real operator would, with SIMULATED in every name. It computes nothing and must never run outside the lab.
package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"os/signal"
	"strconv"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	if err := run(ctx); err != nil && !errors.Is(err, context.Canceled) {
		log.Fatal(err)
	}
}

func run(ctx context.Context) error {
	count, err := strconv.Atoi(os.Getenv("GPU_COUNT"))
	if err != nil || count < 0 || count > 64 {
		return fmt.Errorf("GPU_COUNT is %q; wanted a number from 0 to 64", os.Getenv("GPU_COUNT"))
	}
	labels := map[string]string{
		"nvidia.com/gpu.present":     strconv.FormatBool(count > 0),
		"nvidia.com/gpu.count":       strconv.Itoa(count),
		"nvidia.com/gpu.memory":      os.Getenv("GPU_MEMORY_MIB"),
		"nvidia.com/gpu.product":     os.Getenv("GPU_PRODUCT"),
		"nvidia.com/gpu.replicas":    "1",
		os.Getenv("SIMULATED_LABEL"): "true",
	}
	if err := labelNode(ctx, os.Getenv("NODE_NAME"), labels); err != nil {
		return err
	}
	plugin := &plugin{count: count, node: os.Getenv("NODE_NAME")}
	return plugin.serve(ctx)
}
