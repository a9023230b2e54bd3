"""The HTTPS listener: health, readiness, metrics and state pages."""
