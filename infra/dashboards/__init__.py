"""Dashboards, recording rules and alerts as files, and what turns the dashboards into Grafana's JSON.

Files here name metrics; `tests/unit/infra/dashboards` holds that every name exists.
"""
