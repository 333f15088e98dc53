"""The audit exporter: once an hour, what ran and what it served, to the chain and the validators (protocol 16)."""
