"""Vectors for items that changed: from the topic "catalogue" to the topic "vectors"."""
