"""Tests here work on a filled database of their own."""

from tests.support.databases import database_url, template

__all__ = ["database_url", "template"]
