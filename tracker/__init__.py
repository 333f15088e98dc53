"""Subnet competition over time: snapshots, analysis, cost, report.

Imports of app only app.protocol.
"""
