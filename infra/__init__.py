"""The Pulumi program, its provider, the host runner and the operator CLI."""
