package main

import (
	_ "unsafe" // for go:linkname

	"k8s.io/component-base/version"
)

// labVersion says what this is: Kubernetes of that version, built for Headframe's lab.
const labVersion = "v1.34.2+headframe-lab"

// The Kubernetes modules carry a placeholder that its own release scripts overwrite at link time. Naming the
// variables here keeps the build a plain `go build`.

//go:linkname gitMajor k8s.io/component-base/version.gitMajor
var gitMajor string

//go:linkname gitMinor k8s.io/component-base/version.gitMinor
var gitMinor string

//go:linkname gitVersion k8s.io/component-base/version.gitVersion
var gitVersion string

// setVersion makes every part report labVersion.
func setVersion() error {
	gitMajor, gitMinor, gitVersion = "1", "34", labVersion
	return version.SetDynamicVersion(labVersion)
}
