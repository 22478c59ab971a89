"""Whole networks beside the engines that people deploy with: time and memory of inference.

python benchmarks/networks.py                                     all of it: an hour and more
python benchmarks/networks.py --networks resnet18 --engines onnxruntime torch --batch 1 --threads 1 --rounds 5

Each network is one ONNX file, with any number of images, that every engine reads: of `cnnx.nn` (resnet18, mobilenet_v2,
unet), or of the onnx package's light models (the others), with random weights where these have none, without the
softmax at their end, which would hide differences. cnnx reads it by `io.import_onnx`, fuses and compiles; its two
columns are algorithm="direct" and "auto". torch runs the layers that cnnx has read, traced and frozen (batch
normalisation folded), NCHW by `optimize_for_inference` and channels last (torch-nhwc); ncnn what pnnx makes of the
file, image by image.

Every engine is a process of its own with the allocator's default settings. Outputs have to agree to 1e-3 of the largest
before anything is timed. Then the engines take turns; the next one begins when no thread of the one before runs, and
every other round goes the other way round. A time is the median over the rounds; a ratio is the median of the rounds'
ratios: the best engine's time by ours, above 1 where cnnx is faster. On a busy machine `--cpu` takes processor time
instead of the clock's, for one thread. Memory is the largest that the process ever had, beyond what it had before it
read the file (VmHWM: ru_maxrss begins with that of the process that started it).
"""

import argparse
import contextlib
import importlib
import json
import subprocess
import sys
import tempfile
from itertools import product
from pathlib import Path
from statistics import geometric_mean, median

import numpy as np
from network_engines import ENGINES, images

import cnnx
from cnnx.bench.process import AbsentError, Worker, WorkerError, environment

SIDE = Path(__file__).with_name("network_engines.py")
OURS = "cnnx", "cnnx-auto"
OF_NN = "resnet18", "mobilenet_v2", "unet"
NETWORKS = "resnet18", "resnet50", "mobilenet_v2", "squeezenet", "vgg19", "densenet121", "unet"


def write(name, path):
    """The network's file; why there is none, where there is none."""
    from cnnx import io, nn

    side = 256 if name == "unet" else 224
    if name in OF_NN:
        if not hasattr(nn, name):
            return f"cnnx.nn has no {name}"
        model = getattr(nn, name)(3, 2 if name == "unet" else 1000, seed=0).eval()
    else:
        with tempfile.TemporaryDirectory() as folder:
            output = write_light(name, Path(folder, "light.onnx"))
            model = io.import_onnx(Path(folder, "light.onnx"), output=output)
    io.export_onnx(model, path, (3, side, side))
    return None


def write_light(name, path):
    """A network of onnx's test data, with weights (its own are all alike); returns what its softmax takes, or None."""
    import onnx

    file = Path(onnx.__file__).parent / "backend/test/data/light" / f"light_{name}.onnx"
    model, rng = onnx.load(file), np.random.default_rng(7)
    shapes = {one.name: onnx.numpy_helper.to_array(one) for one in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type == "ConstantOfShape":  # how these files write a weight
            shape = shapes[node.input[0]]
            deviation = (2 / max(1, np.prod(shape[1:]))) ** 0.5
            weight = rng.normal(0, deviation, shape) if len(shape) > 1 else rng.uniform(0.5, 1, shape)
            tensor = onnx.numpy_helper.from_array(weight.astype(np.float32))
            node.CopyFrom(onnx.helper.make_node("Constant", [], list(node.output), name=node.name, value=tensor))
    onnx.save(model, path)
    last = model.graph.node[-1]
    return last.input[0] if last.op_type == "Softmax" else None


def convert(path):
    """ncnn's form of a file, beside it: what pnnx makes of it."""
    pnnx = importlib.import_module("pnnx")
    program = Path(pnnx.__file__).with_name("pnnx")
    shape = f"inputshape=[1,{','.join(map(str, images(path, 1).shape[1:]))}]"
    done = subprocess.run([program, path.name, shape, "fp16=0"], cwd=path.parent, capture_output=True, text=True)
    if not path.with_suffix(".ncnn.param").exists():
        raise RuntimeError(f"pnnx could not convert it: {(done.stderr or done.stdout).strip().splitlines()[-1:]}")


def measure(path, engines, batch, threads, rounds, cpu):
    """For each engine its times, memory; or why it has none."""
    found, missing, expected = {}, {}, None
    around = environment(threads, cnnx.native.instruction_set(), keep_memory=False)
    with contextlib.ExitStack() as stack, tempfile.TemporaryDirectory() as folder:
        workers = {}
        for name in engines:
            try:
                if name == "ncnn" and not path.with_suffix(".ncnn.param").exists():
                    convert(path)
                worker = stack.enter_context(Worker(name, around, SIDE))
                save = str(Path(folder, f"{name}.npy"))
                loaded = worker.ask("load", path=str(path), batch=batch, threads=threads, save=save, cpu=cpu)
                result = np.load(save).reshape(batch, -1)
                expected = result if expected is None else expected
                away = np.abs(result - expected).max() / np.abs(expected).max()
                if not away <= 1e-3:
                    raise WorkerError(f"other results than {next(iter(workers))}'s: {away:.1e} of the largest away")
            except (AbsentError, WorkerError, ImportError, RuntimeError, ValueError) as error:
                missing[name] = " ".join(str(error).split())
                continue
            workers[name], found[name] = worker, {"MiB": loaded["MiB"], "away": float(away), "seconds": []}
        for number in range(rounds):
            for name in list(workers)[:: -1 if number % 2 else 1]:
                found[name]["seconds"].append(workers[name].turn())
    return {"engines": found, "missing": missing}


def ratios(engines):
    """Who is best of the others, and its time by each of ours."""
    times = {name: np.array(one["seconds"]) for name, one in engines.items()}
    others = [name for name in times if name not in OURS]
    if not others:
        return None, {}
    best = min(others, key=lambda name: median(times[name]))
    return best, {name: float(median(times[best] / times[name])) for name in OURS if name in times}


def line(row, names):
    engines = row["engines"]
    cells = [row["network"], str(row["batch"]), str(row["threads"])]
    cells += [f"{1e3 * median(engines[name]['seconds']):.1f}" if name in engines else "-" for name in names]
    cells += [row["best"] or "-", *(f"{row['ratios'][name]:.2f}" if name in row["ratios"] else "-" for name in OURS)]
    return [*cells, *(f"{engines[name]['MiB']:.0f}" if name in engines else "-" for name in (*OURS, row["best"]))]


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    numbers = {"type": lambda text: [int(part) for part in text.split(",")], "metavar": "N,N"}
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=NETWORKS)
    parser.add_argument("--engines", nargs="+", choices=list(ENGINES)[2:], default=list(ENGINES)[2:])
    parser.add_argument("--threads", default=[1, 2], **numbers)
    parser.add_argument("--batch", default=[1, 8], **numbers)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--cpu", action="store_true", help="processor time instead of the clock's; one thread")
    parser.add_argument("--json", metavar="FILE", help="write all times there")
    arguments = parser.parse_args()
    if arguments.cpu and arguments.threads != [1]:
        parser.error("--cpu: expected with --threads 1")
    names, rows, width = [*OURS, *arguments.engines], [], [13, 6, 8]
    title = ["network", "batch", "threads", *(f"{name} ms" for name in names), "best", "best/cnnx", "best/auto"]
    title += ["MiB: cnnx", "auto", "best"]
    width += [max(9, len(one) + 1) for one in title[3:]]

    def show(cells):
        print("".join(f"{cell:>{n}}" for cell, n in zip(cells, width, strict=True)), flush=True)

    show(title)
    with tempfile.TemporaryDirectory() as folder:
        for network in arguments.networks:
            path = Path(folder, f"{network}.onnx")
            if reason := write(network, path):
                print(f"{network}: skipped, {reason}")
                continue
            for threads, batch in product(arguments.threads, arguments.batch):
                row = {"network": network, "batch": batch, "threads": threads}
                row |= measure(path, names, batch, threads, arguments.rounds, arguments.cpu)
                row["best"], row["ratios"] = ratios(row["engines"])
                rows.append(row)
                if arguments.json:  # at once: all of it takes long
                    Path(arguments.json).write_text(json.dumps(rows, indent=1) + "\n")
                show(line(row, names))
                for name, reason in row["missing"].items():
                    print(f"    {name}: {reason}")
    for threads, name in product(arguments.threads, OURS):
        if known := [row["ratios"][name] for row in rows if row["threads"] == threads and name in row["ratios"]]:
            print(f"{name}, {threads} threads: geometric mean {geometric_mean(known):.2f}, least {min(known):.2f}")
    return 1 if any("other results" in reason for row in rows for reason in row["missing"].values()) else 0


if __name__ == "__main__":
    sys.exit(main())
