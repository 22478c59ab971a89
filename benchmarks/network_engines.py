"""The engines of networks.py, each in a process of its own: `network_engines.py NAME`, asked as bench's workers are."""

import contextlib
import importlib
import json
import os
import sys
import time
from pathlib import Path

import numpy as np

import cnnx
from cnnx.bench import worker as serving


def images(path, batch):
    side = 256 if Path(path).stem == "unet" else 224
    return np.random.default_rng(1).standard_normal((batch, 3, side, side)).astype("float32")


def of_cnnx(path, x, threads, algorithm="direct"):
    from cnnx import io

    cnnx.set_num_threads(threads)
    compiled = io.import_onnx(path, algorithm=algorithm).fuse().compile(x.shape)
    return lambda: compiled(x)


def of_onnxruntime(path, x, threads):
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    (given,) = session.get_inputs()
    return lambda: session.run(None, {given.name: x})[0]


def of_openvino(path, x, threads):
    import openvino

    core = openvino.Core()
    model = core.read_model(path)
    model.reshape(x.shape)
    hints = {"INFERENCE_NUM_THREADS": threads, "INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": "LATENCY"}
    request = core.compile_model(model, "CPU", hints).create_infer_request()
    return lambda: next(iter(request.infer({0: x}).values()))


def of_ncnn(path, x, threads):
    import ncnn

    net = ncnn.Net()
    net.opt.num_threads = threads
    net.opt.use_fp16_packed = net.opt.use_fp16_storage = net.opt.use_fp16_arithmetic = net.opt.use_bf16_storage = False
    for load, suffix in ((net.load_param, ".ncnn.param"), (net.load_model, ".ncnn.bin")):
        if load(str(Path(path).with_suffix(suffix))):
            raise RuntimeError(f"ncnn does not read {suffix}")

    def one(image):
        extractor = net.create_extractor()
        extractor.input("in0", ncnn.Mat(image))
        return np.array(extractor.extract("out0")[1])

    return lambda: np.stack([one(image) for image in x])


def of_torch(path, x, threads, last=False):
    import torch

    from cnnx import io
    from cnnx.nn._flat import Flat

    torch.set_num_threads(threads)
    flat = Flat.of(io.import_onnx(path))
    parts = [(torch_part(torch, layer), sources) for _, layer, sources in flat.calls]

    class Network(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.parts = torch.nn.ModuleList(part for part, _ in parts if isinstance(part, torch.nn.Module))

        def forward(self, value):
            values = [value]
            for part, sources in parts:
                values.append(part(*(values[i] for i in sources)))
            return values[flat.output]

    layout = {"memory_format": torch.channels_last} if last else {}
    with torch.inference_mode():
        network, given = Network().eval().to(**layout), torch.from_numpy(x).to(**layout)
        traced = torch.jit.freeze(torch.jit.trace(network, given))
        traced = traced if last else torch.jit.optimize_for_inference(traced)

    def call():
        with torch.inference_mode():
            return traced(given).numpy()

    return call


def torch_part(torch, layer):
    """What computes a layer of cnnx with torch."""
    nn, f, name, p = torch.nn, torch.nn.functional, type(layer).__name__, layer.parameters
    if name in ("Conv2d", "ConvTranspose2d"):
        options = {key: getattr(layer, key) for key in ("stride", "padding", "dilation", "groups", "bias")}
        found = getattr(nn, name)(layer.in_channels, layer.out_channels, layer.kernel_size, **options)
        return filled(torch, found, p)
    if name == "BatchNorm2d":
        return filled(torch, nn.BatchNorm2d(len(p["weight"]), eps=layer.eps), {**p, **layer.buffers})
    if name == "Affine":
        return filled(torch, nn.Linear(*p["weight"].shape[::-1], bias="bias" in p), p)
    if name in ("Scale", "Bias"):
        (w,) = (torch.from_numpy(w.copy()).reshape(-1, 1, 1) for w in p.values())
        return (lambda x: x * w) if name == "Scale" else (lambda x: x + w)
    if name in ("MaxPool2d", "AvgPool2d"):
        options = {"stride": layer.stride, "padding": layer.padding, "ceil_mode": layer.ceil_mode}
        more = {"count_include_pad": layer.count_include_pad} if name == "AvgPool2d" else {}
        return getattr(nn, name)(layer.kernel_size, **options, **more)
    return {
        "ReLU": nn.ReLU(),
        "ReLU6": nn.ReLU6(),
        "Flatten": nn.Flatten(),
        "Dropout": nn.Identity(),
        "GlobalAvgPool2d": lambda x: f.adaptive_avg_pool2d(x, 1),
        "Add": lambda *xs: sum(xs[1:], xs[0]),
        "Concat": lambda *xs: torch.cat(xs, 1),
    }[name]


def filled(torch, module, arrays):
    module.load_state_dict({name: torch.from_numpy(array.copy()) for name, array in arrays.items()}, strict=False)
    return module


def of_auto(path, x, threads):
    return of_cnnx(path, x, threads, "auto")


def of_torch_nhwc(path, x, threads):
    return of_torch(path, x, threads, last=True)


ENGINES = {
    "cnnx": (of_cnnx, "onnx"),
    "cnnx-auto": (of_auto, "onnx"),
    "onnxruntime": (of_onnxruntime, "onnxruntime"),
    "openvino": (of_openvino, "openvino"),
    "torch": (of_torch, "torch"),
    "torch-nhwc": (of_torch_nhwc, "torch"),
    "ncnn": (of_ncnn, "ncnn"),
}


class Engine(serving.Worker):
    """What the parent asks of an engine's process; a turn is bench's own."""

    def load(self, path, batch, threads, save, cpu):
        self.clock = time.process_time if cpu else time.perf_counter
        before = memory("VmRSS")
        self.call = ENGINES[self.side][0](path, images(path, batch), threads)
        np.save(save, np.asarray(self.call()))
        return {"seconds": self.warm(), "MiB": memory("VmHWM") - before}

    def timed(self, count):
        start = self.clock()
        for _ in range(count):
            self.call()
        return (self.clock() - start) / count


def memory(name):
    """MiB of this process: VmRSS now, VmHWM at most."""
    with contextlib.suppress(OSError), open("/proc/self/status", encoding="ascii") as file:
        return next(int(line.split()[1]) for line in file if line.startswith(name)) / 1024
    return float("nan")


def serve(name):
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    try:
        importlib.import_module(ENGINES[name][1])
        first = {"ready": {}}
    except ImportError as error:
        first = {"absent": str(error)}
    print(json.dumps(first), file=answers, flush=True)
    with contextlib.suppress(BrokenPipeError):  # Ctrl-C at the other side
        serving.timing.serve(Engine(name), sys.stdin, answers)


if __name__ == "__main__":
    serve(sys.argv[1])
