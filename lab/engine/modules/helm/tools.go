//go:build tools

// Package tools names the program that this module builds: the Helm command line.
package tools

import _ "helm.sh/helm/v3/cmd/helm"
