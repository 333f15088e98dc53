"""Real PostgreSQL and Redis servers from wheels, for development, tests and the embedded fleet (DESIGN D10)."""
