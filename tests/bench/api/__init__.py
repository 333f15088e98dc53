"""Requests per core of the miner API beside an equivalent of the public miner's way."""
