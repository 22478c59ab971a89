#!/usr/bin/env bash
# MNN 3.6.1: importing MNN.tools runs `pip install -U` of a logging client, with whichever pip comes first on the PATH.
#
# mnnconvert, its converter, is in MNN.tools. On import its module for statistics of use looks for aliyun.log, and where
# there is none it runs "pip install -U aliyun-log-python-sdk" through the shell: not "python -m pip", so that a program of
# one virtual environment changes another Python, the system's where that environment is not activated. Nothing of it is
# asked for or said beforehand. The extension module _tools converts without it.
#
# Here the pip on the PATH is a script that writes down how it was called and installs nothing.
#
# Seen with Python 3.11 on x86-64:
#   import MNN: pip was not called
#   import MNN.tools: pip was called: install -U aliyun-log-python-sdk
#   import _tools: pip was not called
#
# Ends with 0 if it is still so.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet MNN==3.6.1 numpy==2.4.6
mkdir "$folder/bin"
printf '#!/bin/sh\necho "$@" >> "%s/called"\n' "$folder" > "$folder/bin/pip"
chmod +x "$folder/bin/pip"

called() { # the module to import
    rm -f "$folder/called"
    local how=""
    PATH="$folder/bin:$PATH" "$folder/venv/bin/python" -c "import $1" > "$folder/said" 2>&1 || how=" and it failed"
    if [ -e "$folder/called" ]; then
        echo "import $1$how: pip was called: $(sort -u "$folder/called")"
    else
        echo "import $1$how: pip was not called"
    fi
}

found=$(called MNN; called MNN.tools; called _tools)
echo "$found"
[ "$found" = "import MNN: pip was not called
import MNN.tools: pip was called: install -U aliyun-log-python-sdk
import _tools: pip was not called" ]
