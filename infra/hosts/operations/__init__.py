"""Operations that pyinfra lacks or has with a trap. Each compares a fact; a second run yields no command."""
