"""Serve the policy over OpenPI's websocket protocol: `tristage serve`."""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import signal
from importlib.metadata import version
from pathlib import Path

import torch

from tristage_ros.bags.facts import describe_checkpoint, versions
from tristage_ros.graph.graph import preset
from tristage_ros.mla.loading import build_policy, check_device, warm_up
from tristage_ros.perception.cloud import Workspace
from tristage_ros.pruning.preset_file import pruning_config
from tristage_ros.resources import find_checkpoint
from tristage_ros.serving.admission import Limits, require_key
from tristage_ros.serving.metadata import describe
from tristage_ros.serving.names import Names, load_names
from tristage_ros.serving.observations import CloudSettings, Reader
from tristage_ros.serving.server import PolicyServer

KEY_VARIABLE = "TRISTAGE_API_KEY"
PROTOCOL = ("msgpack", "websockets")  # packages


def run(options: argparse.Namespace) -> int:
    """Load the model and serve it until Ctrl-C or SIGTERM; return 0.

    Raises:
        OSError, ValueError: something that was asked for cannot be had, or the port is taken; the message says why.
    """
    o = options
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    key = os.environ.get(KEY_VARIABLE, "") if o.api_key is None else o.api_key
    require_key(o.host, key)
    if not 0 <= o.port < 1 << 16:
        raise ValueError(f"--port {o.port} must be from 0 to {(1 << 16) - 1}")
    limits = Limits(o.max_bytes, o.max_rate, o.idle, o.handshake, o.clients)
    names = load_names(o.names) if o.names else Names()
    pruning = preset(o.pruning)
    workspace = Workspace(tuple(o.workspace[:3]), tuple(o.workspace[3:]))
    check_device(o.device)
    if o.threads < 1:
        raise ValueError(f"--threads {o.threads} must be at least 1")
    torch.set_num_threads(o.threads)
    checkpoint = find_checkpoint(o.checkpoint)
    policy = build_policy(
        checkpoint,
        pruning_config(str(pruning)),
        engine=o.engine,
        table_height=o.table_height,
        seed=o.seed,
        tokenizer=o.tokenizer,
        dataset=o.dataset,
        precision=o.dtype,
        device=o.device,
    )
    warm_up(policy)
    reader = Reader(names, CloudSettings(workspace, policy.model.config.points))
    weights = describe_checkpoint(checkpoint or "")
    metadata = describe(
        policy,
        reader,
        limits,
        preset=pruning.stem,
        checkpoint=weights | {"path": Path(weights["path"]).name} if weights else {},  # folders are nobody's business
        versions=versions() | {name: version(name) for name in PROTOCOL},
    )
    told = f"{Path(checkpoint).name if checkpoint else 'RANDOM WEIGHTS'}, pruning {pruning.stem}"
    asyncio.run(_serve(PolicyServer(policy, reader, limits, metadata, key), o.host, o.port, told))
    return 0


async def _serve(server: PolicyServer, host: str, port: int, told: str) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)

    def ready(port: int) -> None:
        print(f"serving {told}, on ws://{host}:{port} (Ctrl-C ends it)", flush=True)

    try:
        await server.run(host, port, stop, ready)
    except OSError as error:
        raise OSError(f"cannot listen on {host}:{port}: {error.strerror or error}") from error
