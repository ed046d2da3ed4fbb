"""What the user configured: discovery, merge, expansion, the catalogue of models."""
