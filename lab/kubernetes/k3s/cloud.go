package main

import (
	"context"
	"time"

	core "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
)

const (
	uninitialized = "node.cloudprovider.kubernetes.io/uninitialized"
	lookAtNode    = 2 * time.Second
	restAtNode    = 20 * time.Second
)

func (s *server) client() (*kubernetes.Clientset, error) {
	config, err := clientcmd.BuildConfigFromFlags("", s.kubeconfig("client-admin"))
	if err != nil {
		return nil, err
	}
	return kubernetes.NewForConfig(config)
}

// keepNode does what k3s's built-in cloud controller does: it gives the node its addresses, role and provider
// id, and takes away the taint that waits for this.
func keepNode(ctx context.Context, s *server) {
	client, err := s.client()
	if err != nil {
		s.say("node: %v", err)
		return
	}
	wait := lookAtNode
	for {
		if err := initialise(ctx, client, s); err == nil {
			wait = restAtNode
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		}
	}
}

func initialise(ctx context.Context, client *kubernetes.Clientset, s *server) error {
	nodes := client.CoreV1().Nodes()
	found, err := nodes.Get(ctx, s.settings.NodeName, meta.GetOptions{})
	if err != nil {
		return err
	}
	changed := found.DeepCopy()
	changed.Status.Addresses = addressesOf(s)
	if !equality.Semantic.DeepEqual(found.Status.Addresses, changed.Status.Addresses) {
		if changed, err = nodes.UpdateStatus(ctx, changed, meta.UpdateOptions{}); err != nil {
			return err
		}
		found = changed.DeepCopy()
	}
	changed.Labels["node-role.kubernetes.io/control-plane"] = "true"
	changed.Spec.ProviderID = "k3s://" + s.settings.NodeName
	changed.Spec.Taints = nil
	for _, taint := range found.Spec.Taints {
		if taint.Key != uninitialized {
			changed.Spec.Taints = append(changed.Spec.Taints, taint)
		}
	}
	if equality.Semantic.DeepEqual(found, changed) {
		return nil
	}
	_, err = nodes.Update(ctx, changed, meta.UpdateOptions{})
	return err
}

func addressesOf(s *server) []core.NodeAddress {
	addresses := []core.NodeAddress{{Type: core.NodeInternalIP, Address: s.settings.NodeIP}}
	if s.settings.NodeExternalIP != "" {
		addresses = append(addresses, core.NodeAddress{Type: core.NodeExternalIP, Address: s.settings.NodeExternalIP})
	}
	return append(addresses, core.NodeAddress{Type: core.NodeHostName, Address: s.settings.NodeName})
}
