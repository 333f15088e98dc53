"""Keeps the model cache of a GPU node within its limits (spec: agent-monitor 15, 20.6): scan, plan, delete, report."""
