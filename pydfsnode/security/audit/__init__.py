"""The audit trail: records as lines, chained by hashes, signed now and then, verified off line."""
