from sympy import *
x = symbols("x")
diff(sin(x) * exp(x), x)
# %%
integrate(exp(-x**2), (x, -oo, oo))
# %%
limit(sin(x) / x, x, 0)
# %%
series(cos(x), x, 0, 6)
# %%
Matrix([[1, 2], [3, 4]]).inv()
# %%
N(pi, 30)
