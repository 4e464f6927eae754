"""Serve an optimized pipeline over HTTP: one GPU, and the requests of a moment in one batch.

    python examples/server.py MODEL [PORT]
    curl -d '{"prompt": "a lighthouse at dawn"}' localhost:8000 > image.png

Standard library only. One thread owns the pipeline; the threads of the server hand it prompts.
"""

from __future__ import annotations

import io
import json
import os
import queue
import sys
import threading
from concurrent.futures import Future
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import torch
from diffusers import DiffusionPipeline

from pixart_tui import optimize

BATCH = 4
WAIT_S = 0.05
STEPS = int(os.environ.get("STEPS", "20"))

Job = tuple[str, "Future[bytes]"]


def draw(pipe: Any, jobs: list[Job]) -> None:
    """Draws the images of some prompts in one call."""
    try:
        images = pipe([prompt for prompt, _ in jobs], num_inference_steps=STEPS).images
    except Exception as error:
        for _, future in jobs:
            future.set_exception(error)
        return
    for image, (_, future) in zip(images, jobs, strict=True):
        file = io.BytesIO()
        image.save(file, "PNG")
        future.set_result(file.getvalue())


def work(pipe: Any, waiting: queue.Queue[Job]) -> None:
    """Takes what has come within a moment, up to a batch, for ever."""
    while True:
        jobs = [waiting.get()]
        while len(jobs) < BATCH:
            try:
                jobs.append(waiting.get(timeout=WAIT_S))
            except queue.Empty:
                break
        draw(pipe, jobs)


class Server(ThreadingHTTPServer):
    """Answers a POST of ``{"prompt": ...}`` with a PNG."""

    daemon_threads = True

    def __init__(self, port: int, waiting: queue.Queue[Job]) -> None:
        super().__init__(("127.0.0.1", port), Handler)
        self.waiting = waiting


class Handler(BaseHTTPRequestHandler):
    """One request."""

    server: Server

    def do_POST(self) -> None:
        """Queues the prompt, waits for its image and sends it."""
        try:
            length = int(self.headers.get("Content-Length", 0))
            prompt = json.loads(self.rfile.read(length))["prompt"]
            if not isinstance(prompt, str):
                raise TypeError
        except (ValueError, KeyError, TypeError):
            self.send_error(400, 'send {"prompt": "..."}')
            return
        future: Future[bytes] = Future()
        self.server.waiting.put((prompt, future))
        try:
            png = future.result()
        except Exception as error:
            self.send_error(500, type(error).__name__)
            return
        self.send_response(200)
        self.send_header("Content-Type", "image/png")
        self.send_header("Content-Length", str(len(png)))
        self.end_headers()
        self.wfile.write(png)


def main() -> None:
    """Loads, optimizes, warms up each batch size, and serves."""
    model, port = sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 8000
    on_gpu = torch.cuda.is_available()
    pipe = DiffusionPipeline.from_pretrained(
        model, torch_dtype=torch.bfloat16 if on_gpu else torch.float32
    ).to("cuda" if on_gpu else "cpu")
    pipe.set_progress_bar_config(disable=True)
    optimize(
        pipe,
        quant_type="fp8_e4m3_e4m3_dynamic" if on_gpu else "int8_dynamic",
        compiler="torch" if on_gpu else "none",
        restorable=False,
    )
    for size in range(1, BATCH + 1):
        pipe(["warm-up"] * size, num_inference_steps=2)
    waiting: queue.Queue[Job] = queue.Queue()
    threading.Thread(target=work, args=(pipe, waiting), daemon=True).start()
    server = Server(port, waiting)
    print(f"http://127.0.0.1:{server.server_address[1]}", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
