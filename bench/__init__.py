"""Measures the budgets of the program: `python -m bench` (docs/explanation/performance.md)."""
