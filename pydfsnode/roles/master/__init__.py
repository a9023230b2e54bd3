"""A replica of the namespace: Raft, the state machine, and the leader's care for the fleet."""
