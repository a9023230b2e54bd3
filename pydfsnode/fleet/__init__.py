"""Pure decisions about chunkservers: who lives, who holds what, where chunks go, what to repair."""
