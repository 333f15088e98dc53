package main

import (
	"context"

	"headframe/lab/kubernetes/k3s/policy"
)

// enforcePolicies keeps NetworkPolicy enforced while the server runs; `disable-network-policy: true` turns it off.
func enforcePolicies(ctx context.Context, s *server) {
	client, err := s.client()
	if err != nil {
		s.say("network policies are not enforced: %v", err)
		return
	}
	policy.Enforce(ctx, client, s.say)
}
