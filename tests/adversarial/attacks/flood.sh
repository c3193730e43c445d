# R43, R44: output without an end, and without a line's end on one of the two streams.
tr '\0' a < /dev/zero &
yes >&2
