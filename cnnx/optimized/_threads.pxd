cdef extern from "cnnx/optimized/runtime/regions.h":
    # Who computes this module's parallel regions: the team's function, or NULL for OpenMP's own threads.
    void cnnx_regions_by(void* runs) noexcept nogil

cdef enum:
    # What an element costs, in multiply-adds: one that is read, changed a little and written; one with an exponential
    # in between; one with a power.
    MEMORY = 2
    EXP = 4
    POWER = 16

cdef int threads_of(double work) noexcept nogil
cdef void* runs_regions() noexcept nogil


cdef inline int threads_for(double work) noexcept nogil:
    # How many threads for work of so many multiply-adds. A region of more than one needs the team: it comes with them.
    cdef int threads = threads_of(work)
    if threads > 1:
        cnnx_regions_by(runs_regions())
    return threads
