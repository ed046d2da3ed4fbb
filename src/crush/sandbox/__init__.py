"""The operating-system fence around commands: what it is made of, and proof that it holds."""
