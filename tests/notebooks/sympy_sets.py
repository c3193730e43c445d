import sympy
sympy.S.Reals, sympy.Interval(0, 1)
# %%
sympy.Rational(1, 3) + sympy.Rational(1, 6)
# %%
{sympy.Symbol("a"): 1}
# %%
sympy.primefactors(360), sympy.isprime(97)
# %%
sympy.Matrix([[1, 0], [0, 1]])
# %%
sympy.integrate("1/x", sympy.Symbol("x"))
