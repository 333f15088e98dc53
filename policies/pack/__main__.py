"""What the engine starts."""

from policies.pack.rulebook import serve

serve()
