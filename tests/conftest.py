"""What all tests share."""

from __future__ import annotations

import signal

from hypothesis import HealthCheck, settings

# Results are judged, not how fast a busy machine makes inputs.
settings.register_profile("pydfsnode", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("pydfsnode")

# A shell without job control starts what runs in its background with SIGINT ignored, and so would
# be all processes of the tests: those that are interrupted would go on for ever.
signal.signal(signal.SIGINT, signal.default_int_handler)
