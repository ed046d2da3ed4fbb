"""The contract: msgspec Structs for every request, response, event and error. No logic."""
