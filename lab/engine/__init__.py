"""The Pulumi engine for the lab: a toolchain, and stand-ins for the plugins that cannot be had on this machine."""
