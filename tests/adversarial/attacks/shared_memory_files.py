# R16: 300,000 empty files in /dev/shm: no bytes, but each has an inode in the kernel's memory.
for number in range(300_000):
    with open(f"/dev/shm/{number}", "w"):
        pass
print("GOT IN", flush=True)
