"""Feeds, events and fleet view, gathered into the world that snapshots are taken of (spec: gepetto 24.1)."""
