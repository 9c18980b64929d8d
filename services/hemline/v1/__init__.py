"""Generated from protos/ by `make protos`; a test keeps it current."""
