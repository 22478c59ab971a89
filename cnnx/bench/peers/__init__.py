"""How other libraries compute what `cnnx bench` times: the same numbers, in their own call.

Each module `of_NAME` is loaded in a process of its own and has

- `about()`: versions, by name;
- `set_threads(n)`: to be called first;
- `prepare(op, direction, arrays, options)`: the call to be timed. It takes what the public cnnx function takes and
  converts that once; NotImplementedError says why where the library has no such thing;
- `result(returned)`: what the call returned, as arrays in the order of the public function.

A forward call is what a user of the library writes; a backward call is the library's backward function alone, which has
what its forward call has saved.
"""
