"""Model providers: one adapter per protocol, neutral requests and stream events."""
