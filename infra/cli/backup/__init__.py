"""`headframe backup`: what a lost control host is built again from, in one sealed file; and the drill."""
