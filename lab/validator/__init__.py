"""A SIMULATED validator: the HTTP, socket.io and registry surface that a miner uses (spec: protocol 8-10, 15).

It pays nothing and proves nothing; every answer of it carries `X-Headframe-Simulated: true`.
"""
