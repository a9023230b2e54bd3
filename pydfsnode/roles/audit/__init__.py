"""The audit trail of a running node: who feeds it, and who signs it."""
