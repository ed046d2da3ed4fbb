"""The commands; with `server/app.py` the only place that builds object graphs."""
