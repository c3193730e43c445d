2**100
# %%
0.1 + 0.2
# %%
1 / 3, 1e300 * 10, 10**20 / 3
# %%
complex(1, -2)
# %%
round(2.5), round(3.5), -7 // 2
# %%
from fractions import Fraction
from decimal import Decimal
Fraction(1, 3) + 1, Decimal("0.1") * 3
# %%
float("nan"), True, None
# %%
None
# %%
bin(10), hex(255), f"{1234567.891:,.2f}"
