"""The wire: one schema, two transports (framed, gRPC) with the same handlers, and their clients."""
