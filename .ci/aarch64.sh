#!/usr/bin/env bash
# cnnx for AArch64 on an x86-64 machine: built by a cross compiler, run by QEMU. Looks for register blocks that spill, runs
# `cnnx digest`, random calls, whose bits have to be those of the cnnx of this machine, and tests. As root; CONTRIBUTING.md
# says what it needs.
#   bash .ci/aarch64.sh [pytest's arguments]
# CNNX_AARCH64: the folder, made if it is missing.
set -euo pipefail

cd "$(dirname "$0")/.."
folder=${CNNX_AARCH64:-/var/tmp/cnnx-aarch64}
python=${PYTHON:-python3} # has cnnx for this machine
calls=2000
if [ $# = 0 ]; then
    set -- -m "not slow" tests/ops/test_agreement.py::test_one_case_of_op tests/ops/test_batch_bits.py \
        tests/ops/test_isa_bits.py tests/ops/test_grad_weight.py tests/ops/test_denormals.py tests/ops/test_functions.py
fi

if [ "$(uname -m)" != x86_64 ]; then
    echo "aarch64.sh: expected an x86-64 machine, this is $(uname -m); on AArch64 itself: tox -e py" >&2
    exit 1
fi
[ "$(id -u)" = 0 ] || { echo "aarch64.sh: expected to be run by root, as chroot has to be" >&2; exit 1; }
for needed in debootstrap qemu-aarch64-static; do
    command -v "$needed" >/dev/null || { echo "aarch64.sh: $needed is missing; see CONTRIBUTING.md" >&2; exit 1; }
done
if [ ! -e /proc/sys/fs/binfmt_misc/qemu-aarch64 ]; then
    mountpoint -q /proc/sys/fs/binfmt_misc || mount -t binfmt_misc binfmt_misc /proc/sys/fs/binfmt_misc
    update-binfmts --enable qemu-aarch64
fi

inside() {
    env --ignore-environment LC_ALL=C.UTF-8 PATH=/usr/sbin:/usr/bin:/sbin:/bin DEBIAN_FRONTEND=noninteractive \
        chroot "$folder" "$@"
}

# Debian's Python for x86-64 that believes to be the one for arm64: it compiles with that one's compiler and flags.
cross() {
    inside env --chdir=/cnnx PYTHONPATH=/site _PYTHON_HOST_PLATFORM=linux-aarch64 \
        _PYTHON_SYSCONFIGDATA_NAME=_sysconfigdata__aarch64-linux-gnu "$@"
}

emulated() {
    inside env --chdir=/cnnx PYTHONHOME=/usr PYTHONPATH=/cnnx:/aarch64/site /aarch64/usr/bin/python3.13 "$@"
}

# Wheels for Debian's Python 3.13 of a machine, fetched by this machine's pip, which knows its index.
fetch() {
    "$python" -m pip install -q --no-compile --only-binary=:all: --python-version 3.13 --platform "manylinux_2_28_$1" \
        --platform "manylinux_2_27_$1" --platform "manylinux_2_17_$1" --target "${@:2}"
}

if [ ! -e "$folder/complete" ]; then
    debootstrap --arch=amd64 --variant=minbase --include=gcc-aarch64-linux-gnu,python3-setuptools trixie "$folder"
    inside dpkg --add-architecture arm64
    inside apt-get -q update
    inside apt-get -qy install --no-install-recommends libpython3-dev:arm64 \
        libgomp1:arm64 libstdc++6:arm64
    # All of Debian's Python for arm64 but the program, which cannot be installed beside that for x86-64: unpacked.
    inside sh -c 'cd /tmp && apt-get -q -o APT::Sandbox::User=root download python3.13-minimal:arm64'
    inside sh -c 'dpkg --extract /tmp/python3.13-minimal_*_arm64.deb /aarch64'
    fetch x86_64 "$folder/site" "cython>=3.1,!=3.2.0"
    fetch aarch64 "$folder/aarch64/site" numpy pytest hypothesis mpmath
    touch "$folder/complete"
fi
mountpoint -q "$folder/proc" || mount -t proc proc "$folder/proc"
trap 'umount "$folder/proc"' EXIT

mkdir -p "$folder/cnnx"
git ls-files -z | tar --create --null --files-from=- | tar --extract --directory "$folder/cnnx"
set -x
cross aarch64-linux-gnu-gcc --version
cross CNNX_BUILD_JOBS="${CNNX_BUILD_JOBS:-}" CNNX_OPENMP=on python3 setup.py -q build_ext --inplace
inside sh -c 'aarch64-linux-gnu-objdump -d --no-show-raw-insn /cnnx/cnnx/optimized/baseline/_microkernels.*' |
    "$python" tests/spills.py
emulated -c 'import platform, numpy; print(platform.platform(), platform.python_version(), numpy.__version__)'
emulated -m cnnx digest
emulated tests/bits.py --calls $calls >"$folder/aarch64.txt"
PYTHONPATH=tests "$python" tests/bits.py --calls $calls | diff - "$folder/aarch64.txt"
emulated -m pytest -q -p no:cacheprovider "$@"
