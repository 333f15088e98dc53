"""Removes what failed chutes leave behind (spec: agent-monitor 16, 20.6): old failed pods, services without a job."""
