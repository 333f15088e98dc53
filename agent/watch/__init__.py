"""The node agent: reports what runs in a cluster to the monitor (spec: agent-monitor 5, 6, 9, 20.3).

Works against our monitor and against the public one.
"""
