"""What lies on disk: a master's log and state (sealed, in LevelDB), a chunkserver's chunk files."""
