import sympy as sp
x, y = sp.symbols("x y")
sp.expand((x + y) ** 3)
# %%
sp.factor(x**2 - 1)
# %%
sp.solve(x**2 - 2, x)
# %%
sp.Eq(x**2, 2)
# %%
sp.latex(sp.sqrt(x) / 2)
# %%
sp.sympify("x +* 2")
