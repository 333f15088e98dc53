"""GPU validation, a package of its own: prove and verify that a node's GPUs are what it says.

Imports of app only app.protocol.
"""
