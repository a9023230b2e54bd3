"""What a process can be: a master, a chunkserver or a gateway. Each role's `role.py` wires it."""
