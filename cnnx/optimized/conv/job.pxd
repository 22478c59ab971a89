# One call of a convolution as sums over taps: its images, groups and parts, and where their arrays lie.

from cython cimport floating

from .blocks cimport Arrays, Sums


cdef struct Lanes:
    # Planes side by side, a lane for each (lanes.pxd), where each group is a plane by a kernel.
    bint used
    Py_ssize_t rows, bands  # output rows of a band, bands of a plane
    Py_ssize_t top, height  # the least row offset of a tap, rows that the taps span
    Py_ssize_t left, pitch  # columns of zeros before a row of the source; numbers from one row to the next
    Py_ssize_t source_rows  # that a band needs at most
    Py_ssize_t terms  # of all parts


cdef struct Job:
    # All images and groups of one call.
    Py_ssize_t N, groups
    Sums* parts  # of one output image; one, or for a strided gradient one per phase of the stride
    Py_ssize_t count  # of parts
    Py_ssize_t z_image, z_group, y_image, y_group, start_group
    Py_ssize_t scratch  # numbers that a thread needs: copy, row buffer, and the phases' planes
    Py_ssize_t planes  # where in the scratch the phases' planes lie
    Py_ssize_t tail  # and the vectors of tails; 0 if there are none
    Py_ssize_t panel  # and a panel of columns; 0 if there are none
    Py_ssize_t u, v, H, W  # the output's rows and columns are phases of this stride; 1 and 1 where they are not
    int* part  # of phase (a, b); -1 where no tap reaches
    Lanes lanes


cdef inline Arrays arrays_of(const Job* job, const Arrays* all, Py_ssize_t task, floating* planes) noexcept nogil:
    # Of image task // groups, group task % groups; Y are the phases' planes, if there are phases.
    cdef Py_ssize_t group = task % job.groups, image = task // job.groups
    cdef Arrays a
    a.Z = <const floating*>all.Z + image * job.z_image + group * job.z_group
    a.w = all.w
    a.start = <const floating*>all.start + group * job.start_group
    a.Y = <floating*>all.Y + image * job.y_image + group * job.y_group
    if job.part != NULL:
        a.Y = planes
    return a


cdef inline Arrays arrays_of_part(const Sums* m, const Arrays* a, Py_ssize_t group, floating* tag) noexcept nogil:
    return Arrays(a.Z, <const floating*>a.w + (m.w + group * m.w_group), a.start, <floating*>a.Y + m.y)


cdef inline floating* output_plane(const Job* job, const Arrays* all, Py_ssize_t task, Py_ssize_t c,
                                   floating* tag) noexcept nogil:
    return (<floating*>all.Y + task // job.groups * job.y_image + task % job.groups * job.y_group
            + c * job.H * job.W)
