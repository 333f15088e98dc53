"""The proof over HTTP: the bootstrap service of a node, and the verifying side that calls it."""
