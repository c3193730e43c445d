# R10: reserves a tebibyte of address space without touching it.
import mmap

from attempts import attempt, done

attempt("a tebibyte", mmap.mmap, -1, 1 << 40, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | mmap.MAP_NORESERVE)
done()
