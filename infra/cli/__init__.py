"""`headframe`: what an operator types beside `pulumi`. Commands are thin; decisions are pure functions beside them."""
