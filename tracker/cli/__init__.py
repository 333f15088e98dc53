"""The command line `tracker`: thin commands over the library, exit codes of `tracker.errors.ExitCode`."""
