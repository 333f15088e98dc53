"""History as changes instead of snapshots (spec: tracker 8): 1,000 snapshots in megabytes, analysed in milliseconds."""
