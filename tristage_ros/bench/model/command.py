"""The command: measure, print, write JSON and Markdown."""

from __future__ import annotations

import argparse
import json
import sys

import torch

from tristage_ros.bench.model.machine import describe
from tristage_ros.bench.model.session import Session
from tristage_ros.bench.model.table import Table, show, write_chapter
from tristage_ros.bench.options import SECTIONS, command_line


def run(options: argparse.Namespace) -> int:
    """Run the benchmark; return the exit code."""
    if options.threads < 1:
        raise ValueError(f"--threads is {options.threads}; it must be at least 1")
    torch.set_num_threads(options.threads)
    if options.device.startswith("cuda") and not torch.cuda.is_available():
        print("error: torch sees no CUDA device here; use --device cpu", file=sys.stderr)
        return 2
    device = torch.device(options.device)
    dtype = options.dtype or ("bfloat16" if device.type == "cuda" else "float32")
    session = Session(options.size, device, dtype, options.quick)
    for section in options.only or SECTIONS:
        print(f"measuring: {section}", file=sys.stderr, flush=True)
        getattr(session, section)()
    tables = session.tables()
    facts = describe(device, dtype) | {"command": command_line(options)}
    facts |= {"rounds": "few: a first look, not a result"} if options.quick else {}
    show([Table("Machine", ("what", "which"), list(facts.items())), *tables])
    if options.json:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps({"machine": facts, "size": options.size} | session.figures, indent=1))
    where = f"CPU, threads: {facts['threads']}" if device.type == "cpu" else device.type
    if options.plot:
        from tristage_ros.bench.model.plot import picture

        options.plot.parent.mkdir(parents=True, exist_ok=True)
        picture(session.figures, f"{options.size} on {where}").savefig(options.plot, dpi=90)
    if options.markdown:
        listed = "\n".join(f"- {name}: {value}" for name, value in facts.items())
        body = "\n".join([listed, "", *(table.markdown() for table in tables)])
        write_chapter(options.markdown, f"{options.size} on {where}", body)
    return 0
