# R40, R41: the main program ends; what it left behind in another session holds its output open and floods.
(setsid sh -c 'yes; sleep 1000' &)
(setsid sh -c 'trap "" TERM; sleep 1000' &)
exit 0
