# F1 and the gradients F3 of a layer, called by address: affine.pyx hands them out as a capsule, as _microkernels.pyx
# does its own. A convolution whose window is the image is such a layer. `kernel` is whose memory it is.

from cpython.pycapsule cimport PyCapsule_GetPointer

ctypedef int (*LayerOutputs)(str kernel, const void* Z, const void* w, const void* b, void* Y, Py_ssize_t N,
                             Py_ssize_t I, Py_ssize_t J) except -1
ctypedef int (*LayerGradient)(str kernel, const void* Delta, const void* other, void* gradient, Py_ssize_t N,
                              Py_ssize_t I, Py_ssize_t J) except -1


cdef struct Layers:
    # Of float and double.
    LayerOutputs outputs[2]
    LayerGradient grad_input[2]
    LayerGradient grad_weight[2]


cdef inline const Layers* layers_of(object capsule) except NULL:
    # What `from .affine import LAYERS` gave.
    return <const Layers*>PyCapsule_GetPointer(capsule, "cnnx.affine")
