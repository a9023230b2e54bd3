"""What all tests share: hypothesis judges results, not how fast a busy machine makes its inputs."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

settings.register_profile("pydfsnode", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("pydfsnode")
