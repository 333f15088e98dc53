"""The host runner: makes one machine what its spec says, over SSH, with pyinfra.

It runs as a process of its own (`python -m infra.hosts VERB`), one for each machine and call. Only this package
imports pyinfra, paramiko or gevent; it never imports pulumi.
"""
