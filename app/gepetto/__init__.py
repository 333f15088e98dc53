"""Gepetto: which chute runs on which GPUs (spec: gepetto 24).

ingest -> `world` (immutable snapshot) -> `decision.decide` (pure) -> intents -> safety gate -> `execution`.
"""
