"""The closed GraVal library, where a user has installed it: bound by its public interface, in a process of its own.

It is never bundled, downloaded or linked. What works only with it: docs/graval.md.
"""
