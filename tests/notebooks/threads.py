import threading
from concurrent.futures import ThreadPoolExecutor
results = []
thread = threading.Thread(target=lambda: results.append("done"))
thread.start(); thread.join()
results
# %%
with ThreadPoolExecutor(2) as pool:
    print(list(pool.map(lambda n: n * n, range(5))))
# %%
with ThreadPoolExecutor(1) as pool:
    pool.submit(lambda: 1 / 0).result()
# %%
lock = threading.Lock()
with lock:
    locked = lock.locked()
locked, lock.locked()
