#!/usr/bin/env bash
# cnnx on AArch64, emulated by QEMU: builds it in a folder with Debian for arm64, then runs there `cnnx digest`, random
# calls, whose bits have to be those of the cnnx of this machine, and tests. As root; CONTRIBUTING.md says what it needs.
#   bash .ci/aarch64.sh [pytest's arguments]
# CNNX_AARCH64: the folder, made if it is missing.
set -euo pipefail

cd "$(dirname "$0")/.."
folder=${CNNX_AARCH64:-/var/tmp/cnnx-aarch64}
python=${PYTHON:-python3} # has cnnx for this machine
calls=2000
if [ $# = 0 ]; then
    set -- -m "not slow" tests/ops/test_agreement.py tests/ops/test_threads.py tests/ops/test_grad_weight.py \
        tests/ops/test_conv_large.py tests/ops/test_batch_bits.py tests/ops/test_isa_bits.py tests/ops/test_denormals.py \
        tests/ops/test_functions.py tests/audit/test_gradients.py
fi

[ "$(id -u)" = 0 ] || { echo "aarch64.sh: expected to be run by root, as chroot has to be" >&2; exit 1; }
for needed in debootstrap qemu-aarch64-static; do
    command -v "$needed" >/dev/null || { echo "aarch64.sh: $needed is missing; see CONTRIBUTING.md" >&2; exit 1; }
done
if [ "$(uname -m)" != aarch64 ] && [ ! -e /proc/sys/fs/binfmt_misc/qemu-aarch64 ]; then
    mountpoint -q /proc/sys/fs/binfmt_misc || mount -t binfmt_misc binfmt_misc /proc/sys/fs/binfmt_misc
    update-binfmts --enable qemu-aarch64
fi

inside() {
    LC_ALL=C.UTF-8 PATH=/venv/bin:/usr/sbin:/usr/bin:/sbin:/bin chroot "$folder" "$@"
}

if [ ! -e "$folder/complete" ]; then
    debootstrap --arch=arm64 --variant=minbase \
        --include=ca-certificates,gcc,libc6-dev,python3-dev,python3-hypothesis,python3-mpmath,python3-numpy,python3-pytest,python3-setuptools,python3-venv \
        trixie "$folder"
    inside python3 -m venv --system-site-packages /venv
    # Debian's Cython is 3.0. Fetched by this machine's pip, which knows its index.
    "$python" -m pip download -q --no-deps --only-binary=:all: --python-version 3.13 --dest "$folder/wheels" \
        --platform manylinux_2_17_aarch64 "cython>=3.1,!=3.2.0"
    inside pip install --no-index --find-links /wheels cython
    touch "$folder/complete"
fi
mountpoint -q "$folder/proc" || mount -t proc proc "$folder/proc"
trap 'umount "$folder/proc"' EXIT

mkdir -p "$folder/cnnx"
git ls-files -z | tar --create --null --files-from=- | tar --extract --directory "$folder/cnnx"
in_sources='cd /cnnx && PYTHONPATH=/cnnx exec "$@"'
set -x
inside sh -c "$in_sources" - python setup.py -q build_ext --inplace
inside sh -c "$in_sources" - python -m cnnx digest
inside sh -c "$in_sources" - python tests/bits.py --calls $calls >"$folder/aarch64.txt"
"$python" tests/bits.py --calls $calls | diff - "$folder/aarch64.txt"
inside sh -c "$in_sources" - python -m pytest -q -p no:cacheprovider "$@"
