"""The namespace as a pure state machine: files, directories, chunks, and each answer once.

`Namespace.apply(op, index)` is a function of the state and the operation alone: time, the caller's
name and the chunkservers for a new chunk come in the operation (INV-SAME). The outcome, a refusal
included, is part of the state, so that a retried operation gets its first answer (INV-ONCE).
"""
