//go:build tools

// Package tools names the program that this module builds: the Pulumi command line.
package tools

import _ "github.com/pulumi/pulumi/pkg/v3/cmd/pulumi"
