"""The shell around the pure cores: clock, owned tasks, retries, and the driver of consensus."""
