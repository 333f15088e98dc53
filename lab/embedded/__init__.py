"""The embedded fleet: our programs as plain processes where hosts cannot be booted. Nodes, pods, GPUs are SIMULATED."""
