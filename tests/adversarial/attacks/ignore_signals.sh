# R34, R35, R38: ignores every signal that can be, stops who watches it, and sleeps past its limit.
trap '' TERM INT HUP QUIT ALRM USR1 USR2 XCPU
kill -STOP 1 $PPID
kill -KILL 1 $PPID
echo stopped
sleep 1000
sleep 1000
