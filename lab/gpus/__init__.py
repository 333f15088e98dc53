"""Simulated GPUs: a device plugin that reports devices which do not exist, labelled as such, and the chart for it."""
