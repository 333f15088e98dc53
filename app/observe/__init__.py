"""What is known of the clusters: the monitor API, its Redis cache, direct informers, health.

Readers start at `readings` (the data) and `view` (where it comes from).
"""
