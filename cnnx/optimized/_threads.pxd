cdef enum:
    # What an element of a function with an exponential in it costs, in multiply-adds.
    EXP = 16

# How many threads for work of so many multiply-adds.
cdef int threads_for(double work) noexcept nogil
