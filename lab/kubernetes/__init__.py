"""Kubernetes for the lab: an API server without nodes for tests, and a stand-in for k3s on the lab's hosts."""
