import pandas as pd
sales = pd.DataFrame({"shop": list("aabbc"), "item": list("xyxyx"), "sold": [3, 5, 2, 8, 1]})
sales.groupby("shop")["sold"].sum()
# %%
sales.pivot_table(index="shop", columns="item", values="sold", fill_value=0)
# %%
for name, group in sales.groupby("shop"):
    print(name, group["sold"].tolist())
# %%
sales.groupby(["shop", "item"]).agg({"sold": ["sum", "mean"]})
# %%
sales.groupby("shop")
