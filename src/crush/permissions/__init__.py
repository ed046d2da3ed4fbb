"""Who may do what: pure rules, and the broker that holds pending requests."""
