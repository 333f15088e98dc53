#!/bin/sh
# The command that a pod starts in every chute's image; here it starts the SIMULATED chute.
exec python3 -m lab.chute "$@"
