"""A stand-in chute (SIMULATED): claims its launch config, verifies, activates and answers, as a chute's runtime does.

It runs no model and touches no GPU. Spec: protocol 9, 18.
"""
