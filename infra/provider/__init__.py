"""The native Pulumi provider: the engine's gRPC calls in, one child process for each machine and call out.

It never imports the host runner: gevent and gRPC in one process hang (docs/adr/0040-provider-in-python.md).
"""
