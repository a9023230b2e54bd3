"""Pure consensus: no clock, no disk, no network. See `core.RaftCore` and `effects.Effects`."""
