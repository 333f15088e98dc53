"""Operator commands over the miner API, the validator and a node's own services (spec: protocol 14).

Installed alone as `chutes-miner`, mounted in `headframe`. Imports nothing of ours but `app.protocol`.
"""
