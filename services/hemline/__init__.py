"""Hemline: recommendations for shoppers a shop hardly knows. Serving code; see DESIGN in README."""
