"""SQLite: one writer per database, all writes of a step in one transaction."""
