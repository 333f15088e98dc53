"""The decision: pure functions of a snapshot, a configuration and a memory. No I/O, no clock, no randomness."""
