"""Stand-in for the provider of the package `command`: programs run on this machine.

It has `local.Command` without assets and `local.run`; nothing of ours uses the rest.
"""
