"""Kubernetes objects of a deployment, and the client that makes and removes them (spec: gepetto 17, 18)."""
