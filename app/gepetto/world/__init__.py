"""What Gepetto knows at one moment: frozen views and the snapshot that holds them. No I/O, no clock, no randomness."""
