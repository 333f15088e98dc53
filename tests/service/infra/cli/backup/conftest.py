"""A database with the fleet's tables and rows in them."""

from tests.support.databases import database_url, template

__all__ = ["database_url", "template"]
