"""Collaborative scores for any history, blended with what retrieval and popularity say."""
