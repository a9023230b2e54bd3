"""The client library: finds the leader, reads and writes files, synchronously or not."""
