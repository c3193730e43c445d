# R07: takes 300 MiB as fast as it can. Says so if it gets them.
bomb = bytearray()
for _ in range(300):
    bomb.extend(b"x" * (1 << 20))
print("GOT IN", flush=True)
