"""The miner's programs: API, fleet view, validators, Gepetto, CLI, and the facts they share.

Never imports infra or lab.
"""
