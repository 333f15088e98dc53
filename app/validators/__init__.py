"""Talking to validators: the HTTP client, the event feed, and what closes a gap in it (spec: protocol 8-11)."""
