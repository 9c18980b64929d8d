"""Hemline's own small CLIP: data, training and evaluation."""
