"""The chain as the tracker reads it, over either generation of the bittensor SDK (spec: tracker 2)."""
