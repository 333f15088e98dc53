"""`make dev`: the control plane on this machine, for development. Everything outside of it is SIMULATED."""
