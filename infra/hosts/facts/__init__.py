"""What the runner observes on a machine. A fact costs one round trip and changes nothing."""
