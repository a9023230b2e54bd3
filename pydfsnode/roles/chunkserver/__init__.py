"""A chunkserver: stores chunks, forwards and serves them, reports to the masters."""
