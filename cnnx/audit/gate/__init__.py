"""The audit where people judge kernels: in their test suite, in a script, in a loop that writes kernels.

backends    whatever holds kernels, under a name for as long as it is judged
words       what fails, short enough to be read in a terminal
assertion   assert_kernel: an AssertionError with these words
suite       what the pytest plugin (`_cnnx_pytest.py`, beside the package) does once a test uses it
speed       how fast, beside a back end: of inputs of its own, whose results are judged as well
contracts   the same of functions by contract, called alone; interval: a ratio and what covers it
verdict     all of it as JSON, by verdict.schema.json
"""
