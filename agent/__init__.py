"""Programs of a GPU node: cluster watcher, model cache cleaner, clean-up of failed chutes.

Imports of app only app.protocol.
"""
