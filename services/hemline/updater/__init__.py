"""From the event log to every shopper's state and vector."""
