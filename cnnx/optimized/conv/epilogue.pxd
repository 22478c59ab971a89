# A convolution's epilogue: what is done to its outputs while they are in the cache, once their sums are complete.

from cython cimport floating
from cython.parallel cimport prange

from ..microkernel.finish cimport Finish
from ..microkernel.table cimport Microkernels

cdef struct Epilogue:
    bint used
    Py_ssize_t away  # bytes from an output to what is added to it; 0: nothing is
    double low, high  # to which the sum is clipped


cdef inline void finish(const Epilogue* e, const Microkernels* kernels, floating* Y, Py_ssize_t pitch, Py_ssize_t rows,
                        Py_ssize_t width) noexcept nogil:
    # Rows of outputs that have their sums.
    cdef Finish f = Finish(Y=Y, R=NULL, pitch=pitch, rows=rows, width=width, low=e.low, high=e.high)
    if e.away != 0:
        f.R = <const char*>Y + e.away
    kernels.finish_rows(&f, NULL)


cdef inline void finish_images(const Epilogue* e, const Microkernels* kernels, floating[:, :, :, ::1] Y,
                               int threads) noexcept:
    # All of them, where they were left.
    cdef Py_ssize_t planes = Y.shape[0] * Y.shape[1], size = Y.shape[2] * Y.shape[3], i
    for i in prange(planes, nogil=True, schedule="static", num_threads=threads):
        finish(e, kernels, &Y[0, 0, 0, 0] + i * size, 0, 1, size)
