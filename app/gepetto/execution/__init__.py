"""Doing what was decided: journal, claims, launches, endings, leadership (spec: gepetto 24.10)."""
