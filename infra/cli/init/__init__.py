"""`headframe init`: from questions to a stack file. Asking, looking and composing are apart; one command joins them."""
