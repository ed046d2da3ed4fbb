"""Standard library only: hosts, locks, spawn, readiness and the thin HTTP client."""
