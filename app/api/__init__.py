"""The miner API: what operators, the registry proxy and old clients talk to (spec: protocol 3, 4, 15)."""
