"""Facts and models that every program shares: ports, labels, channels, GPU models, signatures, wire models.

Pure: no I/O, no clock, no import of anything else of ours.
"""
