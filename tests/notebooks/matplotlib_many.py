import matplotlib.pyplot as plt
import numpy as np
x = np.linspace(0, 6, 50)
fig, axes = plt.subplots(1, 2, figsize=(6, 2))
axes[0].plot(x, np.sin(x))
axes[1].hist(np.sin(x))
None
# %%
for n in range(3):
    plt.figure(figsize=(2, 1))
    plt.plot(x, x**n)
# %%
fig
# %%
plt.subplots(2)[0].get_size_inches()
