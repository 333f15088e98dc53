"""A simulated Substrate endpoint with real recorded runtime metadata: the state is synthetic and wholly known.

Real bittensor clients cannot tell it from a node for the reads that a tracker makes, so a test can compare a tracker's
output with the right answer. It is a simulation: its chain is called "Simulated Bittensor" and it listens on loopback.
"""
