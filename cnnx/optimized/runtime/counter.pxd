# Tasks that threads take one by one, whoever is free the next one.

cdef extern from *:
    """
    static inline Py_ssize_t cnnx_take(Py_ssize_t* counter) {
        return __atomic_fetch_add(counter, 1, __ATOMIC_RELAXED);
    }
    """
    Py_ssize_t take "cnnx_take"(Py_ssize_t* counter) noexcept nogil
