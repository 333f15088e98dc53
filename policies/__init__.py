"""Rules that stop mistakes before they cost: pure functions in rules/, the thin Pulumi pack in pack/."""
