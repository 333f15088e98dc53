// Package node prepares the one machine of a cluster: address, container runtime, pod network, kubelet, images.
package node

import (
	"fmt"
	"net"
	"time"
)

const (
	podBridge      = "cni0"
	addressTimeout = 60 * time.Second
)

// Address waits for the machine's own IPv4 address, or for the one that was asked for. A server that starts before its
// network would put an empty address into its certificate.
func Address(wanted string) (string, error) {
	deadline := time.Now().Add(addressTimeout)
	for {
		found, err := addresses()
		if err != nil {
			return "", err
		}
		for _, address := range found {
			if wanted == "" || address == wanted {
				return address, nil
			}
		}
		if time.Now().After(deadline) {
			return "", fmt.Errorf("no interface of this machine has the address %q (it has %v); see: ip addr", wanted, found)
		}
		time.Sleep(100 * time.Millisecond)
	}
}

func addresses() ([]string, error) {
	interfaces, err := net.Interfaces()
	if err != nil {
		return nil, err
	}
	var found []string
	for _, each := range interfaces {
		if each.Name == podBridge || each.Flags&net.FlagLoopback != 0 || each.Flags&net.FlagUp == 0 {
			continue
		}
		list, err := each.Addrs()
		if err != nil {
			return nil, err
		}
		for _, address := range list {
			if block, ok := address.(*net.IPNet); ok && block.IP.To4() != nil && block.IP.IsGlobalUnicast() {
				found = append(found, block.IP.String())
			}
		}
	}
	return found, nil
}
