package policy

import (
	"slices"
	"strings"
	"testing"

	core "k8s.io/api/core/v1"
	networking "k8s.io/api/networking/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

func pod(namespace, name, address string) *core.Pod {
	return &core.Pod{
		ObjectMeta: meta.ObjectMeta{Namespace: namespace, Name: name, Labels: map[string]string{"app": name}},
		Spec:       core.PodSpec{Containers: []core.Container{{Ports: []core.ContainerPort{{Name: "web", ContainerPort: 8080}}}}},
		Status:     core.PodStatus{PodIP: address, Phase: core.PodRunning},
	}
}

func selector(app string) meta.LabelSelector {
	return meta.LabelSelector{MatchLabels: map[string]string{"app": app}}
}

func cluster(policies ...*networking.NetworkPolicy) State {
	namespace := func(name string) *core.Namespace {
		return &core.Namespace{ObjectMeta: meta.ObjectMeta{Name: name, Labels: map[string]string{"name": name}}}
	}
	return State{
		Pods:       []*core.Pod{pod("a", "server", "10.0.0.1"), pod("a", "client", "10.0.0.2"), pod("b", "client", "10.0.0.3")},
		Namespaces: []*core.Namespace{namespace("a"), namespace("b")},
		Policies:   policies,
	}
}

func ingress(rules ...networking.NetworkPolicyIngressRule) *networking.NetworkPolicy {
	return &networking.NetworkPolicy{
		ObjectMeta: meta.ObjectMeta{Namespace: "a", Name: "p"},
		Spec: networking.NetworkPolicySpec{PodSelector: selector("server"), Ingress: rules,
			PolicyTypes: []networking.PolicyType{networking.PolicyTypeIngress}},
	}
}

// allowedMatches are the matches that mark a packet as let through.
func allowedMatches(state State) []string {
	_, rules := Rules(state)
	var out []string
	for _, rule := range rules {
		if match, found := strings.CutSuffix(rule, " -j MARK --set-xmark "+allowed); found {
			_, match, _ = strings.Cut(strings.TrimPrefix(match, "-A "), " ")
			out = append(out, match)
		}
	}
	return out
}

func expect(t *testing.T, got []string, wanted ...string) {
	t.Helper()
	if !slices.Equal(got, wanted) {
		t.Errorf("got %q, wanted %q", got, wanted)
	}
}

func TestWithoutPoliciesNothingIsIsolated(t *testing.T) {
	_, rules := Rules(cluster())
	for _, rule := range rules {
		if strings.Contains(rule, "DROP") {
			t.Error(rule)
		}
	}
}

func TestAPolicyWithoutRulesIsolatesItsPodsAlone(t *testing.T) {
	_, rules := Rules(cluster(ingress()))
	text := strings.Join(rules, "\n")
	if strings.Count(text, "DROP") != 1 || !strings.Contains(text, forwardChain+" -d 10.0.0.1 ") {
		t.Error(text)
	}
	expect(t, allowedMatches(cluster(ingress())))
}

func TestAPodSelectorMeansThePolicysOwnNamespace(t *testing.T) {
	client := selector("client")
	peer := networking.NetworkPolicyPeer{PodSelector: &client}
	expect(t, allowedMatches(cluster(ingress(networking.NetworkPolicyIngressRule{From: []networking.NetworkPolicyPeer{peer}}))),
		"-s 10.0.0.2")
}

func TestBothSelectorsOfAPeerMustMatch(t *testing.T) {
	client, other := selector("client"), meta.LabelSelector{MatchLabels: map[string]string{"name": "b"}}
	peer := networking.NetworkPolicyPeer{PodSelector: &client, NamespaceSelector: &other}
	expect(t, allowedMatches(cluster(ingress(networking.NetworkPolicyIngressRule{From: []networking.NetworkPolicyPeer{peer}}))),
		"-s 10.0.0.3")
}

func TestPortsByNumberRangeAndName(t *testing.T) {
	number, end, name := intstr.FromInt32(80), int32(90), intstr.FromString("web")
	unknown := intstr.FromString("metrics")
	udp := core.ProtocolUDP
	rule := networking.NetworkPolicyIngressRule{Ports: []networking.NetworkPolicyPort{
		{Port: &number}, {Port: &number, EndPort: &end, Protocol: &udp}, {Port: &name}, {Port: &unknown},
	}}
	expect(t, allowedMatches(cluster(ingress(rule))), "-p tcp --dport 80", "-p udp --dport 80:90", "-p tcp --dport 8080")
}

func TestAnAddressBlockLeavesItsExceptionsOut(t *testing.T) {
	block := &networking.IPBlock{CIDR: "198.18.0.0/24", Except: []string{"198.18.0.7/32"}}
	state := cluster(ingress(networking.NetworkPolicyIngressRule{From: []networking.NetworkPolicyPeer{{IPBlock: block}}}))
	_, rules := Rules(state)
	text := strings.Join(rules, "\n")
	if !strings.Contains(text, "-s 198.18.0.0/24 -j "+prefix+"-B-") || !strings.Contains(text, "-s 198.18.0.7/32 -j RETURN") {
		t.Error(text)
	}
}

func TestEgressIsLookedAtOnTheWayToTheNodeToo(t *testing.T) {
	policy := ingress()
	policy.Spec.PolicyTypes = []networking.PolicyType{networking.PolicyTypeEgress}
	_, rules := Rules(cluster(policy))
	for _, from := range []string{forwardChain, inputChain} {
		if !slices.ContainsFunc(rules, func(rule string) bool { return strings.HasPrefix(rule, "-A "+from+" -s 10.0.0.1 -j ") }) {
			t.Errorf("%s is not asked: %q", from, rules)
		}
	}
}

func TestPodsOfTheNodesNetworkAndFinishedOnesAreNoSubject(t *testing.T) {
	state := cluster(ingress())
	state.Pods[0].Spec.HostNetwork = true
	state.Pods[1].Status.Phase = core.PodSucceeded
	if _, rules := Rules(state); strings.Contains(strings.Join(rules, "\n"), "DROP") {
		t.Error(rules)
	}
}

func TestChainNamesFitIptables(t *testing.T) {
	chains, _ := Rules(cluster(ingress()))
	for _, chain := range chains {
		if len(chain) > 28 {
			t.Errorf("%s has %d characters", chain, len(chain))
		}
	}
}

func TestChainsThatAreNoLongerWantedAreDeleted(t *testing.T) {
	text := restoreText([]string{forwardChain}, nil, ":"+prefix+"-I-old - [0:0]\n:KUBE-FORWARD - [0:0]\n")
	if !strings.Contains(text, "-X "+prefix+"-I-old\n") || strings.Contains(text, "KUBE") {
		t.Error(text)
	}
}
