"""Drawn garments: the demo catalogue's photographs, made of polygons, fabric and light."""
