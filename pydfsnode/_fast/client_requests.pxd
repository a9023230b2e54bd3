"""Nothing of it is used from other compiled modules."""
