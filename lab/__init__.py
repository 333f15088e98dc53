"""Machines to try it on. Everything here is simulated and says so; nothing outside lab and tests imports it."""
