"""Benchmarks of a running cluster, as `hemline bench` runs them."""
