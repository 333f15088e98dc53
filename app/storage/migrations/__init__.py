"""Alembic's folder. Revisions are forward only and safe to run on an existing public database."""
