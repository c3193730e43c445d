"""What runs inside our images: PID 1, which is C (`pid1/`), and Python. Both sides speak `protocol`."""
