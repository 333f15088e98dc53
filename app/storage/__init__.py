"""The database: the public schema with additive tables, its migrations, and repositories (spec: protocol 12).

Repositories take an open connection or session and never commit: the caller owns the transaction.
"""
