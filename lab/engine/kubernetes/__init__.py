"""Stand-in for Pulumi's `kubernetes` resource provider, for machines that cannot have the official one.

It speaks the plugin protocol and is measured against recorded answers of the official provider
(tests/service/lab/engine/kubernetes). With the official plugin present it must not be used.
"""
