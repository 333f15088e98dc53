"""Our CUDA library from Python: how it is built, bound, and run in a process for each GPU."""
