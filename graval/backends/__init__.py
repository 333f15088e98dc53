"""Who does the work: one module for each back end, and the choice among them."""
