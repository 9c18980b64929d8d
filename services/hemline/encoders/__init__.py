"""Models that turn images, texts and profiles into vectors."""
