"""RPC handlers of a master, one file a service: decode, propose or query, encode."""
