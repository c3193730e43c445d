import matplotlib.pyplot as plt
plt.plot([1, 2, 3], [1, 4, 9])
plt.title("squares");
# %%
plt.plot([1, 2, 3])
plt.show()
print("after the figure")
# %%
fig, ax = plt.subplots()
ax.bar(["a", "b"], [3, 5])
ax.set_ylabel("count")
# %%
len(plt.get_fignums())
