"""Attributes read off photos: a ResNet with a head for each, trained here, used at import."""
