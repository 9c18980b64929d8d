"""Nearest items in the vector spaces of one release, filtered exactly, with FAISS."""
