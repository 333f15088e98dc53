// Package policy enforces NetworkPolicy on a cluster of one node with the node's own firewall.
//
// k3s embeds a controller for this whose module cannot be had everywhere; this one knows one node, IPv4 and iptables.
// Traffic of the node itself (probes) is always let through, as Kubernetes demands.
package policy

import (
	"crypto/sha256"
	"fmt"
	"slices"
	"strings"

	core "k8s.io/api/core/v1"
	networking "k8s.io/api/networking/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/intstr"
)

const (
	prefix       = "HEADFRAME-NP"
	forwardChain = prefix + "-FORWARD"
	inputChain   = prefix + "-INPUT"
	// allowed is set on a packet that a rule lets through and looked at when all rules of a pod were asked.
	allowed = "0x20000/0x20000"
)

// State is what the rules follow from.
type State struct {
	Pods       []*core.Pod
	Namespaces []*core.Namespace
	Policies   []*networking.NetworkPolicy
}

// Rules are the chains of the filter table, ready for iptables-restore; the same state gives the same text.
func Rules(state State) (chains []string, rules []string) {
	b := &builder{state: state, chains: []string{forwardChain, inputChain}}
	for _, chain := range b.chains {
		b.add(chain, "-m conntrack --ctstate RELATED,ESTABLISHED -j RETURN")
	}
	for _, pod := range sorted(state.Pods) {
		if !subject(pod) {
			continue
		}
		b.isolate(pod, networking.PolicyTypeIngress)
		b.isolate(pod, networking.PolicyTypeEgress)
	}
	return b.chains, b.rules
}

type builder struct {
	state  State
	chains []string
	rules  []string
}

func (b *builder) add(chain, rule string) { b.rules = append(b.rules, "-A "+chain+" "+rule) }

func (b *builder) chain(kind string, names ...string) string {
	hash := sha256.Sum256([]byte(strings.Join(names, "/")))
	name := fmt.Sprintf("%s-%s-%x", prefix, kind, hash[:5])
	b.chains = append(b.chains, name)
	return name
}

// isolate sends a pod's traffic of one direction through the policies that select it, if any does.
func (b *builder) isolate(pod *core.Pod, direction networking.PolicyType) {
	selecting := b.selecting(pod, direction)
	if len(selecting) == 0 {
		return
	}
	own, kind, match := pod.Status.PodIP, "I", "-d"
	if direction == networking.PolicyTypeEgress {
		kind, match = "E", "-s"
	}
	chain := b.chain(kind, pod.Namespace, pod.Name, own)
	b.add(forwardChain, match+" "+own+" -j "+chain)
	if direction == networking.PolicyTypeEgress {
		b.add(inputChain, match+" "+own+" -j "+chain)
	}
	b.add(chain, "-j MARK --set-xmark 0x0/0x20000")
	for _, policy := range selecting {
		if direction == networking.PolicyTypeIngress {
			for _, rule := range policy.Spec.Ingress {
				b.allow(chain, "-s", policy.Namespace, rule.From, rule.Ports, pod)
			}
		} else {
			for _, rule := range policy.Spec.Egress {
				b.allow(chain, "-d", policy.Namespace, rule.To, rule.Ports, nil)
			}
		}
	}
	b.add(chain, "-m mark ! --mark "+allowed+" -j DROP")
}

func (b *builder) selecting(pod *core.Pod, direction networking.PolicyType) []*networking.NetworkPolicy {
	var out []*networking.NetworkPolicy
	for _, policy := range b.state.Policies {
		if policy.Namespace == pod.Namespace && slices.Contains(policy.Spec.PolicyTypes, direction) &&
			matches(&policy.Spec.PodSelector, pod.Labels) {
			out = append(out, policy)
		}
	}
	slices.SortFunc(out, func(x, y *networking.NetworkPolicy) int { return strings.Compare(x.Name, y.Name) })
	return out
}

// allow marks what one rule lets through: each peer on each port. `target` owns named ports of an ingress rule; for an
// egress rule each peer owns its own.
func (b *builder) allow(chain, match, namespace string, peers []networking.NetworkPolicyPeer, ports []networking.NetworkPolicyPort, target *core.Pod) {
	if len(peers) == 0 {
		for _, port := range portMatches(ports, target) {
			b.mark(chain, port)
		}
		return
	}
	for _, peer := range peers {
		if peer.IPBlock != nil {
			b.allowBlock(chain, match, *peer.IPBlock, portMatches(ports, target))
			continue
		}
		for _, pod := range sorted(b.peers(namespace, peer)) {
			owner := target
			if owner == nil {
				owner = pod
			}
			for _, port := range portMatches(ports, owner) {
				b.mark(chain, match+" "+pod.Status.PodIP+" "+port)
			}
		}
	}
}

func (b *builder) mark(chain, match string) {
	b.add(chain, strings.TrimSpace(match)+" -j MARK --set-xmark "+allowed)
}

// allowBlock lets an address block through but for its exceptions, which leave the block's chain unmarked.
func (b *builder) allowBlock(chain, match string, block networking.IPBlock, ports []string) {
	if strings.Contains(block.CIDR, ":") {
		return // no IPv6 here
	}
	inner := b.chain("B", chain, block.CIDR, fmt.Sprint(len(b.chains)))
	b.add(chain, match+" "+block.CIDR+" -j "+inner)
	for _, except := range block.Except {
		b.add(inner, match+" "+except+" -j RETURN")
	}
	for _, port := range ports {
		b.mark(inner, port)
	}
}

func (b *builder) peers(namespace string, peer networking.NetworkPolicyPeer) []*core.Pod {
	namespaces := map[string]bool{}
	for _, each := range b.state.Namespaces {
		if peer.NamespaceSelector == nil {
			namespaces[each.Name] = each.Name == namespace
		} else {
			namespaces[each.Name] = matches(peer.NamespaceSelector, each.Labels)
		}
	}
	var out []*core.Pod
	for _, pod := range b.state.Pods {
		if subject(pod) && namespaces[pod.Namespace] && (peer.PodSelector == nil || matches(peer.PodSelector, pod.Labels)) {
			out = append(out, pod)
		}
	}
	return out
}

// portMatches are the matches of a rule's ports; one that matches everything where it names none. A named port that the
// owner lacks matches nothing.
func portMatches(ports []networking.NetworkPolicyPort, owner *core.Pod) []string {
	if len(ports) == 0 {
		return []string{""}
	}
	var out []string
	for _, port := range ports {
		protocol := core.ProtocolTCP
		if port.Protocol != nil {
			protocol = *port.Protocol
		}
		match := "-p " + strings.ToLower(string(protocol))
		switch {
		case port.Port == nil:
			out = append(out, match)
		case port.Port.Type == intstr.String:
			if number := namedPort(owner, port.Port.StrVal, protocol); number > 0 {
				out = append(out, fmt.Sprintf("%s --dport %d", match, number))
			}
		case port.EndPort != nil:
			out = append(out, fmt.Sprintf("%s --dport %d:%d", match, port.Port.IntVal, *port.EndPort))
		default:
			out = append(out, fmt.Sprintf("%s --dport %d", match, port.Port.IntVal))
		}
	}
	return out
}

func namedPort(pod *core.Pod, name string, protocol core.Protocol) int32 {
	if pod == nil {
		return 0
	}
	for _, container := range pod.Spec.Containers {
		for _, port := range container.Ports {
			if port.Name == name && (port.Protocol == protocol || port.Protocol == "" && protocol == core.ProtocolTCP) {
				return port.ContainerPort
			}
		}
	}
	return 0
}

func matches(selector *meta.LabelSelector, of map[string]string) bool {
	parsed, err := meta.LabelSelectorAsSelector(selector)
	return err == nil && parsed.Matches(labels.Set(of))
}

// subject tells whether policies apply to a pod: it has an address of its own and is not over.
func subject(pod *core.Pod) bool {
	over := pod.Status.Phase == core.PodSucceeded || pod.Status.Phase == core.PodFailed
	return !pod.Spec.HostNetwork && pod.Status.PodIP != "" && !over
}

func sorted(pods []*core.Pod) []*core.Pod {
	pods = slices.Clone(pods)
	slices.SortFunc(pods, func(x, y *core.Pod) int {
		return strings.Compare(x.Namespace+"/"+x.Name, y.Namespace+"/"+y.Name)
	})
	return pods
}
