package policy

import (
	"bytes"
	"context"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
)

const (
	gather    = 200 * time.Millisecond
	lookAgain = 30 * time.Second
)

// Enforce keeps the firewall as the policies say until the context ends. A new pod is reachable for the moment between
// its address and the next pass, as with k3s.
func Enforce(ctx context.Context, client kubernetes.Interface, say func(string, ...any)) {
	factory := informers.NewSharedInformerFactory(client, 0)
	pods, namespaces := factory.Core().V1().Pods(), factory.Core().V1().Namespaces()
	policies := factory.Networking().V1().NetworkPolicies()
	changed := make(chan struct{}, 1)
	notice := func() {
		select {
		case changed <- struct{}{}:
		default:
		}
	}
	handler := cache.ResourceEventHandlerFuncs{
		AddFunc:    func(any) { notice() },
		UpdateFunc: func(any, any) { notice() },
		DeleteFunc: func(any) { notice() },
	}
	for _, informer := range []cache.SharedIndexInformer{pods.Informer(), namespaces.Informer(), policies.Informer()} {
		if _, err := informer.AddEventHandler(handler); err != nil {
			say("network policies are not enforced: %v", err)
			return
		}
	}
	factory.Start(ctx.Done())
	factory.WaitForCacheSync(ctx.Done())
	for ctx.Err() == nil {
		state := State{}
		state.Pods, _ = pods.Lister().List(labels.Everything())
		state.Namespaces, _ = namespaces.Lister().List(labels.Everything())
		state.Policies, _ = policies.Lister().List(labels.Everything())
		if err := apply(ctx, state); err != nil && ctx.Err() == nil {
			say("network policies: %v", err)
		}
		select {
		case <-ctx.Done():
		case <-changed:
			time.Sleep(gather)
		case <-time.After(lookAgain):
		}
	}
}

// apply replaces all our chains in one step and sees to it that they are asked first: kube-proxy's own chain lets
// node-port traffic through.
func apply(ctx context.Context, state State) error {
	chains, rules := Rules(state)
	before, err := run(ctx, nil, "iptables-save", "-t", "filter")
	if err != nil {
		return err
	}
	if _, err := run(ctx, []byte(restoreText(chains, rules, string(before))), "iptables-restore", "--noflush", "-w", "10"); err != nil {
		return err
	}
	for from, to := range map[string]string{"FORWARD": forwardChain, "INPUT": inputChain} {
		if err := first(ctx, from, to); err != nil {
			return err
		}
	}
	return nil
}

func restoreText(chains, rules []string, before string) string {
	var out strings.Builder
	out.WriteString("*filter\n")
	var gone []string
	for _, line := range strings.Split(before, "\n") {
		name, _, isChain := strings.Cut(strings.TrimPrefix(line, ":"), " ")
		if isChain && strings.HasPrefix(line, ":"+prefix) && !slices.Contains(chains, name) {
			gone = append(gone, name)
		}
	}
	for _, chain := range append(slices.Clone(chains), gone...) {
		fmt.Fprintf(&out, ":%s - [0:0]\n", chain)
	}
	for _, rule := range rules {
		out.WriteString(rule + "\n")
	}
	for _, chain := range gone {
		fmt.Fprintf(&out, "-X %s\n", chain)
	}
	out.WriteString("COMMIT\n")
	return out.String()
}

func first(ctx context.Context, from, to string) error {
	listed, err := run(ctx, nil, "iptables", "-w", "10", "-S", from)
	if err != nil {
		return err
	}
	jump := fmt.Sprintf("-A %s -j %s", from, to)
	lines := strings.Split(string(listed), "\n") // the first is the chain's policy
	if len(lines) > 1 && lines[1] == jump {
		return nil
	}
	if slices.Contains(lines, jump) {
		if _, err := run(ctx, nil, "iptables", "-w", "10", "-D", from, "-j", to); err != nil {
			return err
		}
	}
	_, err = run(ctx, nil, "iptables", "-w", "10", "-I", from, "1", "-j", to)
	return err
}

func run(ctx context.Context, input []byte, name string, arguments ...string) ([]byte, error) {
	command := exec.CommandContext(ctx, name, arguments...)
	command.Stdin = bytes.NewReader(input)
	var problem bytes.Buffer
	command.Stderr = &problem
	out, err := command.Output()
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w: %s", name, strings.Join(arguments, " "), err, bytes.TrimSpace(problem.Bytes()))
	}
	return out, nil
}
