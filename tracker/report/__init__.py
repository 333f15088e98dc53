"""What people see: one self-contained page, and plots as files."""
