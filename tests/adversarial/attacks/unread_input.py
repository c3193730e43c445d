# R55: is sent 10 MiB and reads none of it.
print("did not read", flush=True)
