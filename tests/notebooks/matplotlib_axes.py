import matplotlib.pyplot as plt
fig, ax = plt.subplots(figsize=(3, 2))
plt.close(fig)
fig
# %%
ax.get_xlim()
# %%
ax.plot([1, 2], [3])
# %%
display(fig)
print("shown")
# %%
plt.figure().add_subplot().scatter([1], [2]).get_offsets().tolist()
