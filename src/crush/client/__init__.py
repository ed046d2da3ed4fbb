"""The async API of front ends and programs."""
