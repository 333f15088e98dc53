"""Exceptions under their public names."""

from __future__ import annotations


class DeploymentFailure(Exception):  # noqa: N818 - the public name
    """A deployment could not be made."""


class AgentError(Exception):
    """A worker's agent did not do what it was asked."""
