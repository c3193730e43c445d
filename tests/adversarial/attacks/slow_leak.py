# R08: grows by little steps, as a leak does.
import time

leak = []
while True:
    leak.append(b"x" * (1 << 20))
    time.sleep(0.005)
