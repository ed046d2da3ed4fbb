"""The agent's tools: one file each with its description beside it, and their registry."""
