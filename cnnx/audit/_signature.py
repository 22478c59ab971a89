"""What a function takes, looked at once: inspect needs longer than many a kernel, and every check asks again."""

import functools
import inspect

signature = functools.lru_cache(1024)(inspect.signature)
