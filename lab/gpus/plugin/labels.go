package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"time"
)

const (
	accountFolder = "/var/run/secrets/kubernetes.io/serviceaccount"
	labelTimeout  = 10 * time.Second
)

// labelNode sets labels of the plugin's own node, as the pod's service account may. Plain HTTP keeps the program small.
func labelNode(ctx context.Context, node string, labels map[string]string) error {
	token, err := os.ReadFile(accountFolder + "/token")
	if err != nil {
		return err
	}
	authority, err := os.ReadFile(accountFolder + "/ca.crt")
	if err != nil {
		return err
	}
	trusted := x509.NewCertPool()
	trusted.AppendCertsFromPEM(authority)
	body, err := json.Marshal(map[string]any{"metadata": map[string]any{"labels": labels}})
	if err != nil {
		return err
	}
	address := net.JoinHostPort(os.Getenv("KUBERNETES_SERVICE_HOST"), os.Getenv("KUBERNETES_SERVICE_PORT"))
	url := "https://" + address + "/api/v1/nodes/" + node
	ctx, cancel := context.WithTimeout(ctx, labelTimeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodPatch, url, bytes.NewReader(body))
	if err != nil {
		return err
	}
	request.Header.Set("Authorization", "Bearer "+strings.TrimSpace(string(token)))
	request.Header.Set("Content-Type", "application/strategic-merge-patch+json")
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: trusted}}}
	answer, err := client.Do(request)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(io.LimitReader(answer.Body, 500))
		return fmt.Errorf("labels of node %s: %s: %s", node, answer.Status, text)
	}
	return nil
}
