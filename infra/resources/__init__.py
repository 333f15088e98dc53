"""Thin resource classes of our own Pulumi provider: typed arguments in, typed outputs out, no behaviour."""
