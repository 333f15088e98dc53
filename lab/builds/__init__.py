"""Programs that the lab builds or downloads once and keeps outside the clone."""
