"""A simulated subnet around the real `decide()` (spec: gepetto 25). Nothing simulated here reaches a real system."""
