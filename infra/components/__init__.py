"""One ComponentResource a file: what the fleet is made of. No configuration is read here."""
