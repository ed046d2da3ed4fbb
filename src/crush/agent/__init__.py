"""The turn loop and everything that runs it: sessions, history, prompt, live feed."""
