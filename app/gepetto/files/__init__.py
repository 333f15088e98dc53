"""Operators' own `gepetto.py` files: recognised, checked, sandboxed, reloaded (spec: gepetto 24.7)."""
