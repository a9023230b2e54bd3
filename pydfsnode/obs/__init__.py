"""What a node tells about itself: metrics, log lines, trace context."""
