"""Tests here work on a filled database of their own."""

from tests.support.databases import database_url, template
from tests.support.public_client import public_python

__all__ = ["database_url", "public_python", "template"]
