"""How fast every op is beside honest yardsticks, and whether a change made one slower.

A figure is an op, a case, a direction and a number of threads. Its time is compared with others taken in turns in the
same run: the machine's own limit, the reference, other libraries, another build of cnnx. Only such ratios are kept and
compared; seconds say little of another machine, or of the same one an hour later.
"""
