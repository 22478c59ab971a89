"""Back ends out of other people's libraries, to be judged and to judge by.

Most stand on one of two bases: `_onnx_nodes` for engines that run a model of one ONNX node, `_functions` for libraries
with functions and automatic differentiation.

Each module has `KERNELS`, which the entry-point group `cnnx.backends` names: kernels with the signatures of
`cnnx.reference`, computed by the library's own functions. What a library does not have, or computes otherwise on
purpose, is left out, with the reason, and the audit shows it as not covered; nothing falls back to another method.
`with_threads` sets the library's number of threads for a block, for the audit's check `threads`.
"""
