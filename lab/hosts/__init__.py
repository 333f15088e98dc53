"""Machines to try it on: systemd-nspawn hosts with real systemd and sshd on a bridge of their own (ADR 0030)."""
