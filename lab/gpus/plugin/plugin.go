package main

import (
	"context"
	"crypto/sha256"
	"fmt"
	"log"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	api "k8s.io/kubelet/pkg/apis/deviceplugin/v1beta1"
)

const (
	resource = "nvidia.com/gpu"
	socket   = "headframe-simulated-gpus.sock"
	// unhealthyFile names, by index, devices that a test wants to fail: "0 3".
	unhealthyFile    = "/run/headframe-lab/unhealthy-gpus"
	lookEvery        = 2 * time.Second
	registerTimeout  = 5 * time.Second
	retryRegistering = time.Second
)

type plugin struct {
	api.UnimplementedDevicePluginServer
	count int
	node  string
}

// deviceID has the shape of a real one and is the same after every restart.
func (p *plugin) deviceID(index int) string {
	hash := sha256.Sum256(fmt.Appendf(nil, "headframe simulated gpu %s %d", p.node, index))
	return fmt.Sprintf("GPU-SIMULATED-%x-%x-%x", hash[:4], hash[4:6], hash[6:12])
}

func (p *plugin) devices() []*api.Device {
	text, _ := os.ReadFile(unhealthyFile) // absent: all are well
	unhealthy := strings.Fields(string(text))
	devices := make([]*api.Device, p.count)
	for index := range devices {
		health := api.Healthy
		if slices.Contains(unhealthy, strconv.Itoa(index)) {
			health = api.Unhealthy
		}
		devices[index] = &api.Device{ID: p.deviceID(index), Health: health}
	}
	return devices
}

func (p *plugin) GetDevicePluginOptions(context.Context, *api.Empty) (*api.DevicePluginOptions, error) {
	return &api.DevicePluginOptions{}, nil
}

func (p *plugin) ListAndWatch(_ *api.Empty, stream api.DevicePlugin_ListAndWatchServer) error {
	said := ""
	for {
		devices := p.devices()
		if now := fmt.Sprint(devices); now != said {
			if err := stream.Send(&api.ListAndWatchResponse{Devices: devices}); err != nil {
				return err
			}
			said = now
		}
		select {
		case <-stream.Context().Done():
			return stream.Context().Err()
		case <-time.After(lookEvery):
		}
	}
}

func (p *plugin) Allocate(_ context.Context, request *api.AllocateRequest) (*api.AllocateResponse, error) {
	answer := &api.AllocateResponse{}
	for _, container := range request.ContainerRequests {
		environment := map[string]string{
			"NVIDIA_VISIBLE_DEVICES":      strings.Join(container.DevicesIds, ","),
			"HEADFRAME_SIMULATED_GPUS":    strconv.Itoa(len(container.DevicesIds)),
			"HEADFRAME_SIMULATED_PRODUCT": os.Getenv("GPU_PRODUCT"),
		}
		answer.ContainerResponses = append(answer.ContainerResponses, &api.ContainerAllocateResponse{Envs: environment})
	}
	return answer, nil
}

// serve offers the devices until the context ends. A restarted kubelet empties its plugin folder: register again.
func (p *plugin) serve(ctx context.Context) error {
	path := filepath.Join(api.DevicePluginPath, socket)
	for ctx.Err() == nil {
		_ = os.Remove(path)
		listener, err := net.Listen("unix", path)
		if err != nil {
			return err
		}
		server := grpc.NewServer()
		api.RegisterDevicePluginServer(server, p)
		go func() { _ = server.Serve(listener) }()
		if err := register(ctx); err != nil {
			log.Printf("the kubelet does not register the devices: %v", err)
			pause(ctx, retryRegistering)
		} else {
			log.Printf("%d simulated GPUs registered as %s", p.count, resource)
			for exists(path) && ctx.Err() == nil {
				pause(ctx, lookEvery)
			}
		}
		server.Stop()
	}
	return ctx.Err()
}

func register(ctx context.Context) error {
	connection, err := grpc.NewClient("unix://"+api.KubeletSocket, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return err
	}
	defer connection.Close()
	ctx, cancel := context.WithTimeout(ctx, registerTimeout)
	defer cancel()
	request := &api.RegisterRequest{Version: api.Version, Endpoint: socket, ResourceName: resource}
	_, err = api.NewRegistrationClient(connection).Register(ctx, request)
	return err
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

func pause(ctx context.Context, duration time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(duration):
	}
}
