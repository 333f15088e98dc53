"""Stand-in for the Python language host: starts Python programs, plugins and policy packs for the engine."""
