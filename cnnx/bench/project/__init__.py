"""Any project: its tests of pytest-benchmark and functions that its pyproject.toml names, in two builds in turns.

`settings` reads the project's file, `environments` builds, `worker` and `plugin` run in the project's environment,
`subject` puts them together for `cnnx.bench.against`.
"""
