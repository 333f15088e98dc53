"""What goes into each image, the hash that names it, and the builder (D9).

The hash is a pure function of recipes and files of the clone, so a preview knows every tag; only `builder` runs
programs.
"""
