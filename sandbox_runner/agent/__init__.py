"""What runs as PID 1 inside our images. Standard library only; see `protocol`."""
